//! `stream.expiring`: the notice before a login session ends.

use serde_json::{Value, json};

use crate::support::{
    App, Caller, SseReader,
    auth::{bearer, refresh},
    streams,
    topology::operator_with_topology,
};

/// Starts a gateway whose login sessions end after a few seconds, and whose streams announce it. A configuration file
/// allows no lifetime this short.
async fn app(seconds: u64, notice: u64) -> App {
    App::with(|config| {
        config.streams.heartbeat_seconds = 60;
        config.streams.expiring_seconds = notice;
        config.tokens.login_session_seconds = seconds;
    })
    .await
}

/// Logs in as a new operator. Returns the tokens, the client and a topology.
async fn logged_in(app: &App) -> (Value, Caller, uuid::Uuid) {
    let (_, topology) = operator_with_topology(app).await;
    let pair = app.tokens("admin").await;
    let admin = bearer(app, pair["access_token"].as_str().expect("a token"));
    (pair, admin, topology)
}

fn assert_announces(block: &crate::support::Block, most: u64) {
    let seconds = block.data["in_seconds"].as_u64().expect("a number");
    assert!((1..=most).contains(&seconds), "{}", block.text);
    let expected = format!("event: stream.expiring\ndata: {{\"in_seconds\":{seconds}}}\n\n");
    assert_eq!(block.text, expected);
}

#[tokio::test]
async fn client_that_refreshes_in_time_keeps_its_stream() {
    let app = app(5, 3).await;
    let (pair, admin, topology) = logged_in(&app).await;
    let mut reader = admin.watch(topology, "").await;
    reader.expect("snapshot").await;
    assert_announces(&reader.expect("stream.expiring").await, 3);
    let next = refresh(&app, &pair).await.ok();
    admin.mutate(topology, 1).await.ok();
    reader.expect("mutation.enqueued").await;
    // The next notice is for the new end of the session, and this time the client does not refresh.
    assert_announces(&reader.expect("stream.expiring").await, 3);
    assert_eq!(reader.expect("stream.closed").await.data, json!({ "reason": "session_expired" }));
    reader.expect_end().await;
    assert!(next["access_token"].is_string());
    app.finish().await;
}

#[tokio::test]
async fn each_connection_announces_the_end_once() {
    let app = app(4, 2).await;
    let (_, admin, topology) = logged_in(&app).await;
    let other = app.active_topology(&admin).await;
    let mut reader = streams::watch(&admin, &[topology, other], "").await;
    streams::snapshots(&mut reader, &[topology, other]).await;
    assert_announces(&reader.expect("stream.expiring").await, 2);
    assert_eq!(reader.expect("stream.closed").await.data["reason"], "session_expired");
    reader.expect_end().await;
    app.finish().await;
}

#[tokio::test]
async fn streams_on_http2_announce_the_end_too() {
    let app = app(3, 3).await;
    let (_, admin, topology) = logged_in(&app).await;
    let request =
        crate::support::http2().get(app.url(&format!("/v1/topologies/{topology}/stream")));
    let token = admin.token.as_deref().expect("a token");
    let response = request.bearer_auth(token).send().await.expect("a response");
    let text = crate::support::soon("end", response.text()).await.expect("a body");
    let expiring = text.find("event: stream.expiring\ndata: {\"in_seconds\":").expect("a notice");
    let closed = text.find("event: stream.closed\ndata: {\"reason\":\"session_expired\"}");
    assert!(closed.expect("an end") > expiring, "{text}");
    app.finish().await;
}

#[tokio::test]
async fn notice_can_be_turned_off() {
    let app = app(2, 0).await;
    let (_, admin, topology) = logged_in(&app).await;
    let mut reader: SseReader = admin.watch(topology, "").await;
    reader.expect("snapshot").await;
    reader.expect("stream.closed").await;
    app.finish().await;
}
