//! The credentials for requests that authenticate, look up and refresh, and the latencies that the gateway has recorded.

use std::{fmt::Write, sync::Arc, time::Duration};

use anyhow::Context;
use entity::user;
use sea_orm::EntityTrait;
use streamgate::{
    gateway::Gateway,
    telemetry::{Latencies, Summary},
};
use tokio::time::{interval, sleep, timeout};

use super::{
    rows::{Login, Watched},
    upstream,
};

/// Number of sessions that are refreshed, one after the other.
const SESSIONS: usize = 100;
/// Number of users who have linked an account. Each has an open stream, so the gateway refreshes the grant.
const GRANTS: usize = 100;
/// Refreshes of grants that the report waits for.
const GRANT_REFRESHES: u64 = 200;
/// Longest wait for these refreshes.
const PATIENCE: Duration = Duration::from_mins(1);
/// Checks of the provider.
const CHECKS: usize = 200;

/// Links accounts, and lists credentials, see [`crate::api_load::Credentials`]. The latencies are recorded from the end of
/// this call, without the opens of the streams, which are many at a time.
pub(super) async fn credentials(
    gateway: &Arc<Gateway>,
    topics: &[Watched],
    logins: &[Login],
) -> anyhow::Result<String> {
    // One after the other, because accounts that are linked together are refreshed together.
    let mut ticks = interval(upstream::LIFETIME / u32::try_from(GRANTS)?);
    for login in &logins[..GRANTS] {
        if gateway.oauth.grants(login.user).await?.is_empty() {
            ticks.tick().await;
            upstream::link(gateway, login.user).await?;
        }
    }
    let mut lines = String::new();
    for (topic, login) in topics.iter().zip(logins) {
        let (token, _) = gateway.tokens.sign_access_token(login.user, login.session);
        writeln!(lines, "read\t/v1/topologies/{}/events?limit=1\t{token}", topic.id)?;
    }
    // Without the check of a password, which takes most of the time of a login.
    for login in &logins[..SESSIONS] {
        let row = user::Entity::find_by_id(login.user).one(gateway.database.reader()).await?;
        let session = gateway.login_sessions.create(row.context("a user")?).await?;
        writeln!(lines, "refresh\t{}", session.refresh_token)?;
    }
    let Latencies {
        session_validation,
        token_refresh,
        grant_refresh,
        resource_lookup,
        provider_check,
    } = &gateway.telemetry.latencies;
    for latency in
        [session_validation, token_refresh, grant_refresh, resource_lookup, provider_check]
    {
        latency.reset();
    }
    Ok(lines)
}

/// Checks the provider, and waits for refreshes of grants. Then lists the latencies: name, 50th, 95th and 99th percentile
/// in nanoseconds.
pub(super) async fn report(gateway: &Gateway) -> anyhow::Result<String> {
    let latencies = &gateway.telemetry.latencies;
    for _ in 0..CHECKS {
        gateway.check_upstreams().await;
    }
    let refreshed = async {
        while latencies.grant_refresh.summary().count < GRANT_REFRESHES {
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(PATIENCE, refreshed).await.context("too few refreshes of grants")?;
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
