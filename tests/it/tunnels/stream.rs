//! `GET /reverse-proxy/sse/{id}`: the events of a tunnel, and the messages that belong to no waiting request.

use entity::user::Role;
use reqwest::Method;
use serde_json::json;

use crate::support::{
    App,
    tunnel::{TunnelClient, request_path, rpc},
};

#[tokio::test]
async fn stream_shows_the_life_of_a_tunnel() {
    let app = App::start().await;
    let owner = app.caller(Role::Viewer).await;
    let mut client = TunnelClient::legacy(&owner, "mine").await;
    let path = format!("/reverse-proxy/sse/{}", client.id);
    let mut stream = owner.stream(&path, "").await;
    let snapshot = stream.expect("snapshot").await;
    assert_eq!(snapshot.data["tunnel"]["status"], "connected");

    let changed = json!({ "jsonrpc": "2.0", "method": "notifications/tools/list_changed" });
    client.send("notification", changed.clone()).await;
    assert_eq!(stream.expect("message").await.data, changed);

    let request = format!("{}?wait=false", request_path(client.id));
    assert_eq!(owner.post(&request, rpc("q", "tools/list")).await.status, 202);
    let sent = client.request("tools/list").await;
    client.answer(&sent, json!({ "tools": [] })).await;
    let answer = stream.expect("message").await;
    assert_eq!(answer.data, json!({ "jsonrpc": "2.0", "id": "q", "result": { "tools": [] } }));

    let id = client.id;
    client.leave(&owner).await;
    let gone = stream.expect("tunnel.disconnected").await;
    assert_eq!(gone.data["reason"], "client");
    assert_eq!(gone.data["tunnel"]["status"], "disconnected");
    let client = TunnelClient::legacy(&owner, "mine").await;
    assert_eq!(client.id, id);
    stream.expect("tunnel.connected").await;
    let initialized = stream.expect("tunnel.initialized").await;
    assert_eq!(initialized.data["tunnel"]["server"]["name"], "played");

    owner.call(Method::DELETE, &format!("/reverse-proxy/sessions/{id}"), None).await.ok();
    assert_eq!(stream.expect("tunnel.disconnected").await.data["reason"], "deleted");
    stream.expect("tunnel.deleted").await;
    stream.expect("stream.closed").await;
    stream.expect_end().await;
    // A client that was away for the end still gets it.
    let cursor = initialized.id.expect("a cursor");
    let mut resumed = owner.stream(&path, &format!("Last-Event-ID: {cursor}\r\n")).await;
    resumed.expect("tunnel.disconnected").await;
    resumed.expect("tunnel.deleted").await;
    app.finish().await;
}

#[tokio::test]
async fn request_that_fails_later_is_an_error_on_the_stream() {
    let app = App::with(|config| config.tunnels.request_seconds = 1).await;
    let owner = app.caller(Role::Viewer).await;
    let mut client = TunnelClient::legacy(&owner, "slow").await;
    let mut stream = owner.stream(&format!("/reverse-proxy/sse/{}", client.id), "").await;
    stream.expect("snapshot").await;
    let request = format!("{}?wait=false", request_path(client.id));
    assert_eq!(owner.post(&request, rpc(7, "tools/call")).await.status, 202);
    client.request("tools/call").await;
    let error = stream.expect("message").await;
    assert_eq!((&error.data["id"], &error.data["error"]["code"]), (&json!(7), &json!(-32603)));
    // An answer that is too large for an event.
    assert_eq!(owner.post(&request, rpc(8, "tools/call")).await.status, 202);
    client.request("notifications/cancelled").await;
    let sent = client.request("tools/call").await;
    client.answer(&sent, json!({ "text": "x".repeat(600_000) })).await;
    let error = stream.expect("message").await;
    let text = error.data["error"]["message"].as_str().expect("a message").to_owned();
    assert!(error.data["id"] == 8 && text.contains("wait=false"), "{text}");
    drop(stream);
    app.finish().await;
}

#[tokio::test]
async fn stream_is_for_the_owner_and_administrators() {
    let app = App::start().await;
    let owner = app.caller(Role::Viewer).await;
    let client = TunnelClient::legacy(&owner, "mine").await;
    let path = format!("/reverse-proxy/sse/{}", client.id);
    let stranger = app.caller(Role::Operator).await;
    stranger.get(&path).await.problem(404);
    stranger.get(&format!("/reverse-proxy/sessions/{}/events", client.id)).await.problem(404);
    let mut of_admin = app.log_in("admin").await.stream(&path, "").await;
    of_admin.expect("snapshot").await;
    let topics = format!("/v1/streams?topic=tunnel.{}", client.id);
    let mut stream = owner.stream(&topics, "").await;
    stream.expect("snapshot").await;
    drop((of_admin, stream));
    app.finish().await;
}
