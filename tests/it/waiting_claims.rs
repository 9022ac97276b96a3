//! Waiting for work.

use entity::user::Role;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    support::app::{App, Caller, soon, until},
    topologies::mutations::claim::{claim, numbers, stage},
};

/// The metric of claims that wait.
pub const WAITING: &str = "streamgate_claims_waiting";

#[tokio::test]
async fn who_waits_for_work_gets_it_as_soon_as_there_is_some() {
    let app = App::start().await;
    let (operator, agent, id, path) = stage(&app, "active").await;
    let claim = json!({ "wait_seconds": 60 });
    let waiting = tokio::spawn({
        let (agent, path, claim) = (agent.clone(), format!("{path}/claim"), claim.clone());
        async move { agent.post(&path, claim).await.ok() }
    });
    until("claim that waits", async || app.metric(WAITING) > 0.0).await;
    operator.mutate(id, 1).await.ok();
    let claimed = soon("work", waiting).await.expect("no panic");
    assert_eq!(numbers(claimed.as_array().expect("a list")), [1]);
    app.finish().await;
}

/// A claim on a connection of its own.
async fn claim_on_socket(app: &App, agent: &Caller, path: &str, body: &str) -> TcpStream {
    let mut socket = TcpStream::connect(app.address).await.expect("a connection");
    let request = format!(
        "POST {path}/claim HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        agent.token.as_deref().expect("a token"),
        body.len()
    );
    socket.write_all(request.as_bytes()).await.expect("a request");
    socket
}

#[tokio::test]
async fn nothing_is_given_to_who_has_gone_away_while_waiting() {
    let app = App::start().await;
    let (operator, agent, id, path) = stage(&app, "active").await;
    for number in [1, 2, 3] {
        let mut socket = claim_on_socket(&app, &agent, &path, r#"{"wait_seconds":60}"#).await;
        until("claim that waits", async || app.metric(WAITING) > 0.0).await;
        match number {
            1 => socket.set_zero_linger().expect("an option"),
            // How a worker that was killed looks, until something is sent to it.
            2 => socket.shutdown().await.expect("a FIN"),
            _ => {}
        }
        let held = (number == 2).then_some(socket);
        until("end of the wait", async || app.metric(WAITING) < 1.0).await;
        operator.mutate(id, number).await.ok();
        assert_eq!(numbers(&claim(&agent, &path, 1).await), [number]);
        drop(held);
    }
    app.finish().await;
}

#[tokio::test]
async fn a_claim_that_does_not_wait_is_answered_behind_a_fin() {
    let app = App::start().await;
    let (operator, agent, id, path) = stage(&app, "active").await;
    operator.mutate(id, 1).await.ok();
    let mut socket = claim_on_socket(&app, &agent, &path, "{}").await;
    socket.shutdown().await.expect("a FIN");
    let mut answer = String::new();
    soon("answer", socket.read_to_string(&mut answer)).await.expect("UTF-8");
    assert!(answer.contains("lease_token"), "{answer}");
    app.finish().await;
}

#[tokio::test]
async fn the_end_of_the_service_ends_the_wait_for_work() {
    let mut app = App::start().await;
    let (_, agent, _, path) = stage(&app, "active").await;
    let waiting = tokio::spawn({
        let (agent, path) = (agent.clone(), format!("{path}/claim"));
        async move { agent.post(&path, json!({ "wait_seconds": 60 })).await }
    });
    until("claim that waits", async || app.metric(WAITING) > 0.0).await;
    app.begin_stop();
    assert_eq!(soon("answer", waiting).await.expect("no panic").ok(), json!([]));
    app.ended().await;
    app.finish().await;
}

#[tokio::test]
async fn of_many_who_wait_one_gets_what_there_is_and_the_others_do_not_write() {
    let app = App::start().await;
    let (user, agent) = (app.caller(Role::Viewer).await, app.caller(Role::Agent).await);
    let wait = async || {
        let claim = json!({ "skills": ["demo"], "wait_seconds": 60 });
        agent.post("/v1/tasks/claim", claim).await
    };
    let make = async || {
        until("workers that wait", async || app.metric(WAITING) > 19.5).await;
        let before = app.metric("streamgate_commit_seconds_count");
        user.post("/v1/tasks", json!({ "task_type": "demo" })).await.ok();
        until("all to wait on", async || app.metric(WAITING) > 18.5).await;
        let commits = app.metric("streamgate_commit_seconds_count") - before;
        app.begin_stop();
        commits
    };
    let waiting = join_all((0..20).map(|_| wait()));
    let (answers, commits) = soon("answers", async { tokio::join!(waiting, make()) }).await;
    let claimed: Vec<Value> =
        answers.into_iter().map(|it| it.ok()).filter(|it| *it != json!([])).collect();
    assert_eq!(claimed.len(), 1, "{claimed:?}");
    assert!(commits < 2.5, "{commits} commits for one task and one claim");
    app.finish().await;
}
