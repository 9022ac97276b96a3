//! Streams of a session that go on when a client is away, and that it resumes.

use std::sync::Arc;

use entity::user::Role;
use serde_json::json;
use streamgate::bus::InProcessBus;

use crate::support::{
    App,
    mcp::McpClient,
    tunnel::{TunnelClient, rpc},
    until,
};

#[tokio::test]
async fn client_that_lost_its_connection_gets_the_answer_later() {
    let app = App::start().await;
    let owner = app.caller(Role::Viewer).await;
    let mut server = TunnelClient::legacy(&owner, "mine").await;
    let client = McpClient::new(&owner, server.id).await;
    let mut request = rpc("call", "tools/call");
    request["params"]["_meta"] = json!({ "progressToken": 1 });
    let (mut stream, sent) =
        tokio::join!(client.post(&request), async { server.request("tools/call").await });
    let start = stream.event().await.and_then(|event| event.id).expect("an id");
    let progress = |number: u64| {
        let token = sent["params"]["_meta"]["progressToken"].clone();
        let params = json!({ "progressToken": token, "progress": number });
        json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": params })
    };
    server.send("notification", progress(1)).await;
    let seen = stream.event().await.expect("an event");
    // A disconnect is not a cancellation.
    drop(stream);
    server.send("notification", progress(2)).await;
    // The stream of this request, and nothing else: here the message of another one.
    let (other, list) = tokio::join!(client.post(rpc(2, "tools/list")), async {
        server.request("tools/list").await
    });
    server.answer(&list, json!({ "tools": [] })).await;
    other.last().await;
    let mut resumed = client.open(seen.id.as_deref()).await;
    assert_eq!(resumed.message().await["params"]["progress"], 2);
    server.send("notification", progress(3)).await;
    assert_eq!(resumed.message().await["params"]["progress"], 3);
    drop(resumed);
    server.answer(&sent, json!({ "done": true })).await;
    let session = format!("/v1/mcp-sessions/{}/events", client.session);
    until("answer in the log", async || {
        let page = owner.get(&session).await.ok();
        page["events"]
            .as_array()
            .into_iter()
            .flatten()
            .any(|event| event["data"]["message"]["result"]["done"] == true)
    })
    .await;
    // The stream has ended, and the event log has all of it.
    let mut resumed = client.open(Some(&start)).await;
    for number in 1..=3 {
        assert_eq!(resumed.message().await["params"]["progress"], number);
    }
    let answer = resumed.event().await.expect("an event");
    assert_eq!(
        answer.message,
        json!({ "jsonrpc": "2.0", "id": "call", "result": { "done": true } })
    );
    assert_eq!(resumed.event().await, None);
    let mut resumed = client.open(answer.id.as_deref()).await;
    assert_eq!(resumed.event().await, None);
    app.finish().await;
}

#[tokio::test]
async fn session_and_answers_survive_a_restart_of_the_gateway() {
    let mut app = App::start().await;
    let owner = app.caller(Role::Viewer).await;
    let mut server = TunnelClient::legacy(&owner, "mine").await;
    let mut client = McpClient::new(&owner, server.id).await;
    let (mut stream, sent) = tokio::join!(client.post(rpc(1, "tools/list")), async {
        server.request("tools/list").await
    });
    let start = stream.event().await.and_then(|event| event.id).expect("an id");
    server.answer(&sent, json!({ "tools": [] })).await;
    let answer = stream.message().await;
    drop(stream);
    app.begin_stop();
    app.ended().await;
    let store = app.store.take().expect("a store");
    let app = App::on(store, Arc::new(InProcessBus::default()), |_| ()).await;
    client.caller = app.here(&client.caller);
    let mut resumed = client.open(Some(&start)).await;
    assert_eq!(resumed.message().await, answer);
    assert_eq!(resumed.event().await, None);
    // The session goes on with the client that is back.
    assert_eq!(client.post(rpc(2, "tools/list")).await.status, 503);
    let mut server = TunnelClient::legacy(&client.caller, "mine").await;
    let (answer, ()) = tokio::join!(client.call(3, "tools/list", json!({})), async {
        let list = server.request("tools/list").await;
        server.answer(&list, json!({ "tools": [1] })).await;
    });
    assert_eq!(answer["result"]["tools"], json!([1]));
    app.finish().await;
}

#[tokio::test]
async fn stream_of_a_session_has_what_belongs_to_no_request() {
    let app = App::start().await;
    let owner = app.caller(Role::Viewer).await;
    let mut server = TunnelClient::legacy(&owner, "mine").await;
    let client = McpClient::new(&owner, server.id).await;
    let mut stream = client.open(None).await;
    assert_eq!(stream.status, 200);
    let start = stream.event().await.expect("an event");
    let changed = json!({ "jsonrpc": "2.0", "method": "notifications/tools/list_changed" });
    let updated = |uri: &str| json!({ "jsonrpc": "2.0", "method": "notifications/resources/updated", "params": { "uri": uri } });
    let line =
        json!({ "jsonrpc": "2.0", "method": "notifications/message", "params": { "data": "x" } });
    let subscribe = json!({ "uri": "file:///a" });
    tokio::join!(client.call(1, "resources/subscribe", subscribe), async {
        let subscribe = server.request("resources/subscribe").await;
        server.answer(&subscribe, json!({})).await;
    });
    // Of these, the client wants the first and the last one.
    for message in [&updated("file:///a"), &updated("file:///b"), &line, &changed] {
        server.send("notification", message.clone()).await;
    }
    let first = stream.event().await.expect("an event");
    assert_eq!(first.message, updated("file:///a"));
    assert_eq!(stream.message().await, changed);
    drop(stream);
    server.send("notification", changed.clone()).await;
    for (after, expected) in
        [(start.id, vec![&first.message, &changed, &changed]), (first.id, vec![&changed, &changed])]
    {
        let mut resumed = client.open(after.as_deref()).await;
        for message in expected {
            assert_eq!(resumed.message().await, *message);
        }
    }
    // The newest connection gets what comes, and the one before it ends.
    let mut before = client.open(None).await;
    before.event().await.expect("an event");
    let mut now = client.open(None).await;
    now.event().await.expect("an event");
    assert_eq!(before.event().await, None);
    server.send("notification", changed.clone()).await;
    assert_eq!(now.message().await, changed);
    drop(now);
    app.finish().await;
}

#[tokio::test]
async fn stream_of_a_session_goes_on_after_a_restart() {
    let mut app = App::start().await;
    let owner = app.caller(Role::Viewer).await;
    let mut server = TunnelClient::legacy(&owner, "mine").await;
    let mut client = McpClient::new(&owner, server.id).await;
    let mut stream = client.open(None).await;
    let start = stream.event().await.and_then(|event| event.id).expect("an id");
    let changed = json!({ "jsonrpc": "2.0", "method": "notifications/tools/list_changed" });
    server.send("notification", changed.clone()).await;
    assert_eq!(stream.message().await, changed);
    // A request in flight ends with an error, which is in the event log, too.
    let (mut call, _sent) = tokio::join!(client.post(rpc("c", "tools/call")), async {
        server.request("tools/call").await
    });
    let begun = call.event().await.and_then(|event| event.id).expect("an id");
    app.begin_stop();
    app.ended().await;
    let store = app.store.take().expect("a store");
    let app = App::on(store, Arc::new(InProcessBus::default()), |_| ()).await;
    client.caller = app.here(&client.caller);
    let mut resumed = client.open(Some(&start)).await;
    assert_eq!(resumed.message().await, changed);
    // From here on the stream has another name, because its numbers begin again.
    let next = resumed.event().await.expect("an event");
    assert_eq!(next.message, serde_json::Value::Null);
    assert_ne!(next.id.as_deref().map(|id| id.split('-').next()), Some(start.split('-').next()));
    let mut server = TunnelClient::legacy(&client.caller, "mine").await;
    server.send("notification", changed.clone()).await;
    assert_eq!(resumed.message().await, changed);
    drop(resumed);
    let mut resumed = client.open(Some(&begun)).await;
    let error = resumed.message().await;
    assert_eq!(error["error"]["message"], "the tunnel client has disconnected");
    assert_eq!(resumed.event().await, None);
    app.finish().await;
}

#[tokio::test]
async fn stream_of_a_session_takes_a_slot() {
    let app = App::with(|config| config.limits.streams_per_user = 1).await;
    let owner = app.caller(Role::Viewer).await;
    let server = TunnelClient::legacy(&owner, "mine").await;
    let client = McpClient::new(&owner, server.id).await;
    let stream = client.open(None).await;
    assert_eq!(stream.status, 200);
    let refused = client.open(None).await;
    assert_eq!(refused.status, 429);
    assert_eq!(refused.header("content-type"), Some("application/problem+json"));
    drop(stream);
    app.finish().await;
}
