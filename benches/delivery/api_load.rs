//! Requests to the API at a constant rate, from the process of the benchmark.
//!
//! A client that waits for each response before the next request would measure the queue of its own requests.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use tokio::{
    runtime,
    sync::Mutex,
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

/// Reads in each second.
const READS_PER_SECOND: u32 = 500;
/// Reads for each refresh.
const READS_PER_REFRESH: usize = 10;

/// The credentials of the requests.
#[derive(Default)]
pub(crate) struct Credentials {
    /// Paths to read, each with an access token.
    reads: Vec<(String, String)>,
    /// The refresh token of each session. Locked during its refresh.
    sessions: Vec<Arc<Mutex<String>>>,
}

impl Credentials {
    /// Reads lines: `read`, path and access token, or `refresh` and refresh token, separated by tabs.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        let mut found = Self::default();
        for line in text.lines() {
            match line.split('\t').collect::<Vec<_>>()[..] {
                ["read", path, token] => found.reads.push((path.to_owned(), token.to_owned())),
                ["refresh", token] => found.sessions.push(Arc::new(Mutex::new(token.to_owned()))),
                _ => anyhow::bail!("not a credential: {line}"),
            }
        }
        Ok(found)
    }
}

/// Sends reads, and a tenth as many refreshes. Waits for all responses.
pub(crate) fn run(
    address: SocketAddr,
    credentials: &Credentials,
    reads: usize,
) -> anyhow::Result<()> {
    runtime::Builder::new_current_thread().enable_all().build()?.block_on(send(
        address,
        credentials,
        reads,
    ))
}

async fn send(address: SocketAddr, credentials: &Credentials, reads: usize) -> anyhow::Result<()> {
    let Credentials { reads: paths, sessions } = credentials;
    let http = reqwest::Client::new();
    let mut tasks = JoinSet::new();
    let mut ticks = interval(Duration::from_secs(1) / READS_PER_SECOND);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for number in 0..reads {
        ticks.tick().await;
        let (path, token) = &paths[number % paths.len()];
        let request = http.get(format!("http://{address}{path}")).bearer_auth(token);
        tasks.spawn(async move {
            let response = request.send().await?;
            ensure!(response.status().is_success(), "read: {}", response.status());
            Ok(())
        });
        if number % READS_PER_REFRESH == 0 {
            let token = Arc::clone(&sessions[number / READS_PER_REFRESH % sessions.len()]);
            let http = http.clone();
            tasks.spawn(async move { refresh(address, &http, &token).await });
        }
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(())
}

/// Exchanges a refresh token for the next one.
async fn refresh(
    address: SocketAddr,
    http: &reqwest::Client,
    token: &Mutex<String>,
) -> anyhow::Result<()> {
    let mut token = token.lock().await;
    let body = json!({ "refresh_token": *token });
    let request = http.post(format!("http://{address}/v1/auth/refresh")).json(&body);
    let response = request.send().await?;
    ensure!(response.status().is_success(), "refresh: {}", response.status());
    let pair: Value = response.json().await?;
    pair["refresh_token"].as_str().context("a refresh token")?.clone_into(&mut token);
    Ok(())
}
