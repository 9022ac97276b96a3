//! Claims that wait for work (`wait_seconds`). They are the same in all families with leases.

use entity::user::Role;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{
    App, Caller,
    mutation::{claim, numbers, topology_with_workers},
    soon, until,
};

#[tokio::test]
async fn waiting_claim_is_answered_when_work_arrives() {
    let app = App::start().await;
    let (operator, agent, id, path) = topology_with_workers(&app, "active").await;
    let claim = json!({ "wait_seconds": 60 });
    let waiting = tokio::spawn({
        let (agent, path, claim) = (agent.clone(), format!("{path}/claim"), claim.clone());
        async move { agent.post(&path, claim).await.ok() }
    });
    app.claim_waits().await;
    operator.mutate(id, 1).await.ok();
    let claimed = soon("work", waiting).await.expect("no panic");
    assert_eq!(numbers(claimed.as_array().expect("a list")), [1]);
    app.finish().await;
}

/// Sends a claim on a new connection.
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
async fn waiting_client_that_disconnected_gets_no_work() {
    let app = App::start().await;
    let (operator, agent, id, path) = topology_with_workers(&app, "active").await;
    for number in [1, 2, 3] {
        let mut socket = claim_on_socket(&app, &agent, &path, r#"{"wait_seconds":60}"#).await;
        app.claim_waits().await;
        match number {
            1 => socket.set_zero_linger().expect("an option"),
            // A killed worker looks like this until the server writes to it.
            2 => socket.shutdown().await.expect("a FIN"),
            _ => {}
        }
        let held = (number == 2).then_some(socket);
        until("end of the wait", async || app.waiting_claims() < 1.0).await;
        operator.mutate(id, number).await.ok();
        assert_eq!(numbers(&claim(&agent, &path, 1).await), [number]);
        drop(held);
    }
    app.finish().await;
}

#[tokio::test]
async fn claim_without_wait_is_answered_after_the_clients_fin() {
    let app = App::start().await;
    let (operator, agent, id, path) = topology_with_workers(&app, "active").await;
    operator.mutate(id, 1).await.ok();
    let mut socket = claim_on_socket(&app, &agent, &path, "{}").await;
    socket.shutdown().await.expect("a FIN");
    let mut answer = String::new();
    soon("response", socket.read_to_string(&mut answer)).await.expect("UTF-8");
    assert!(answer.contains("lease_token"), "{answer}");
    app.finish().await;
}

#[tokio::test]
async fn shutdown_ends_a_waiting_claim() {
    let mut app = App::start().await;
    let (_, agent, _, path) = topology_with_workers(&app, "active").await;
    let waiting = tokio::spawn({
        let (agent, path) = (agent.clone(), format!("{path}/claim"));
        async move { agent.post(&path, json!({ "wait_seconds": 60 })).await }
    });
    app.claim_waits().await;
    app.begin_stop();
    assert_eq!(soon("response", waiting).await.expect("no panic").ok(), json!([]));
    app.ended().await;
    app.finish().await;
}

#[tokio::test]
async fn one_task_wakes_one_of_many_waiting_workers() {
    let app = App::start().await;
    let (user, agent) = (app.caller(Role::Viewer).await, app.caller(Role::Agent).await);
    let wait = async || {
        let claim = json!({ "skills": ["demo"], "wait_seconds": 60 });
        agent.post("/v1/tasks/claim", claim).await
    };
    let make = async || {
        until("workers that wait", async || app.waiting_claims() > 19.5).await;
        let before = app.metric("streamgate_commit_seconds_count");
        user.post("/v1/tasks", json!({ "task_type": "demo" })).await.ok();
        until("claims that still wait", async || app.waiting_claims() > 18.5).await;
        let commits = app.metric("streamgate_commit_seconds_count") - before;
        app.begin_stop();
        commits
    };
    let waiting = join_all((0..20).map(|_| wait()));
    let (answers, commits) = soon("responses", async { tokio::join!(waiting, make()) }).await;
    let claimed: Vec<Value> =
        answers.into_iter().map(|it| it.ok()).filter(|it| *it != json!([])).collect();
    assert_eq!(claimed.len(), 1, "{claimed:?}");
    assert!(commits < 2.5, "{commits} commits for one task and one claim");
    app.finish().await;
}
