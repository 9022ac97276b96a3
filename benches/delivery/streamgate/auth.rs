//! Requests that authenticate, look up and refresh, and the latencies that the gateway has recorded for them.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, ensure};
use entity::user;
use sea_orm::EntityTrait;
use serde_json::{Value, json};
use streamgate::{gateway::Gateway, telemetry::Summary};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{
    rows::{Login, Watched},
    upstream,
};

/// The gateway, and what the requests are about.
#[derive(Clone)]
pub(super) struct Subject {
    pub(super) gateway: Arc<Gateway>,
    /// The address of the gateway.
    pub(super) address: SocketAddr,
    pub(super) topics: Arc<Vec<Watched>>,
    pub(super) logins: Arc<Vec<Login>>,
}

/// Requests at the same time.
const IN_FLIGHT: usize = 8;
/// Refreshes of each session, one after the other.
const REFRESHES: usize = 10;

/// Number of users who have linked an account. Each has an open stream, so the gateway refreshes the grant.
const GRANTS: usize = 100;
/// Refreshes of grants that each round waits for.
const GRANT_REFRESHES: u64 = 200;
/// Longest wait for these refreshes.
const PATIENCE: Duration = Duration::from_secs(60);
/// Checks of the provider.
const CHECKS: usize = 200;

/// Sends `requests` reads of events, with the access tokens of all users over all topics, and as many refreshes as a tenth
/// of that. Meanwhile the gateway refreshes grants. Lists the latencies: name, 50th, 95th and 99th percentile in
/// nanoseconds.
pub(super) async fn measure(subject: &Subject, requests: usize) -> anyhow::Result<String> {
    let Subject { gateway, logins, .. } = subject;
    for login in &logins[..GRANTS] {
        if gateway.oauth.grants(login.user).await?.is_empty() {
            upstream::link(gateway, login.user).await?;
        }
    }
    let grant_refreshes = || gateway.telemetry.latencies.grant_refresh.summary().count;
    let enough = grant_refreshes() + GRANT_REFRESHES;
    let http = reqwest::Client::new();
    let mut tasks = JoinSet::new();
    for first in 0..IN_FLIGHT {
        let (subject, http) = (subject.clone(), http.clone());
        tasks.spawn(async move {
            for number in (first..requests).step_by(IN_FLIGHT) {
                read(&subject, &http, number).await?;
            }
            let sessions = requests / 10 / REFRESHES;
            for number in (first..sessions).step_by(IN_FLIGHT) {
                refresh(&subject, &http, number).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    for _ in 0..CHECKS {
        gateway.check_upstreams().await;
    }
    let refreshed = async {
        while grant_refreshes() < enough {
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(PATIENCE, refreshed).await.context("too few refreshes of grants")?;
    let latencies = &subject.gateway.telemetry.latencies;
    let line = |name: &str, summary: Summary| {
        let [p50, p95, p99] = [summary.p50, summary.p95, summary.p99].map(|time| time.as_nanos());
        format!("{name}\t{p50}\t{p95}\t{p99}\n")
    };
    Ok([
        line("session validation", latencies.session_validation.summary()),
        line("resource look-up", latencies.resource_lookup.summary()),
        line("token refresh", latencies.token_refresh.summary()),
        line("grant refresh", latencies.grant_refresh.summary()),
        line("provider check", latencies.provider_check.summary()),
    ]
    .concat())
}

async fn read(subject: &Subject, http: &reqwest::Client, number: usize) -> anyhow::Result<()> {
    let login = &subject.logins[number % subject.logins.len()];
    let topic = &subject.topics[number % subject.topics.len()];
    let path = format!("/v1/topologies/{}/events?limit=1", topic.id);
    let (token, _) = subject.gateway.tokens.sign_access_token(login.user, login.session);
    let response = http.get(url(subject.address, &path)).bearer_auth(token).send().await?;
    ensure!(response.status().is_success(), "{path}: {}", response.status());
    Ok(())
}

/// Starts a session, and refreshes it.
async fn refresh(subject: &Subject, http: &reqwest::Client, number: usize) -> anyhow::Result<()> {
    let login = &subject.logins[number % subject.logins.len()];
    let mut token = start_session(&subject.gateway, login.user).await?;
    for _ in 0..REFRESHES {
        let body = json!({ "refresh_token": token });
        let response =
            http.post(url(subject.address, "/v1/auth/refresh")).json(&body).send().await?;
        ensure!(response.status().is_success(), "refresh: {}", response.status());
        let pair: Value = response.json().await?;
        pair["refresh_token"].as_str().context("a refresh token")?.clone_into(&mut token);
    }
    Ok(())
}

/// A session without the check of a password, which takes most of the time of a login.
async fn start_session(gateway: &Gateway, user: uuid::Uuid) -> anyhow::Result<String> {
    let row = user::Entity::find_by_id(user).one(gateway.database.reader()).await?;
    let session = gateway.login_sessions.create(row.context("a user")?).await?;
    Ok(session.refresh_token)
}

fn url(address: SocketAddr, path: &str) -> String {
    format!("http://{address}{path}")
}
