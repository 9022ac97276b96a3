//! `POST /v1/mcp-sessions/{id}/messages`, and the stream that carries the messages.

use entity::user::Role;
use reqwest::Method;
use serde_json::json;

use crate::support::{
    App,
    mcp_session::{request, session_of},
};

#[tokio::test]
async fn messages_reach_all_watchers_in_order_until_the_session_closes() {
    let app = App::start().await;
    let (user, agent) = (app.caller(Role::Viewer).await, app.caller(Role::Agent).await);
    let path = session_of(&user, json!({ "name": "notebook", "agent": agent.id().await })).await;
    let messages = format!("{path}/messages");
    let mut owner = user.stream(&format!("{path}/stream"), "").await;
    let mut served = agent.stream(&format!("{path}/stream"), "").await;
    for reader in [&mut owner, &mut served] {
        let session = &reader.expect("snapshot").await.data["session"];
        assert_eq!((&session["status"], &session["name"]), (&json!("open"), &json!("notebook")));
    }
    let answer = user.post(&messages, request(1)).await;
    assert_eq!(answer.status, 202);
    let cursor = answer.ok()["cursor"].clone();
    let reply =
        json!({ "jsonrpc": "2.0", "id": 1, "result": { "content": [], "text": "\u{2028}" } });
    agent.post(&messages, reply.clone()).await.ok();
    for reader in [&mut owner, &mut served] {
        let first = reader.expect("message").await;
        assert_eq!((first.data, json!(first.id)), (request(1), cursor.clone()));
        assert_eq!(reader.expect("message").await.data, reply);
    }
    for _ in 0..2 {
        let closed = user.call(Method::DELETE, &path, None).await;
        assert_eq!(closed.status, 204, "{closed:?}");
    }
    for reader in [&mut owner, &mut served] {
        let closed = reader.expect("closed").await;
        assert_eq!(closed.data["reason"], "deleted");
        assert_eq!(closed.data["session"]["status"], "closed");
        assert_eq!(reader.expect("stream.closed").await.data["reason"], "completed");
        reader.expect_end().await;
        // No event can follow, so 204 stops an `EventSource`.
        let query = format!("last_event_id={}", closed.id.expect("a cursor"));
        let again = user.stream(&format!("{path}/stream?{query}"), "").await;
        assert_eq!(again.status(), 204);
    }
    user.post(&messages, request(2)).await.problem(409);
    assert_eq!(user.get(&path).await.ok()["status"], "closed");
    let page = user.get(&format!("{path}/events")).await.ok();
    assert_eq!(page["events"].as_array().map(Vec::len), Some(3));
    app.finish().await;
}

#[tokio::test]
async fn message_that_is_not_json_rpc_is_refused() {
    let app = App::start().await;
    let user = app.caller(Role::Viewer).await;
    let messages = format!("{}/messages", session_of(&user, json!({})).await);
    for (message, why) in [
        (json!([request(1)]), "object"),
        (json!({ "id": 1, "method": "ping" }), "jsonrpc"),
        (json!({ "jsonrpc": "2.0", "id": 1 }), "without a method"),
        (json!({ "jsonrpc": "2.0", "id": 1.5, "method": "ping" }), "`id`"),
    ] {
        let detail = user.post(&messages, message).await.problem(400);
        assert!(detail.contains(why), "{detail}");
    }
    let long = json!({ "jsonrpc": "2.0", "method": "x", "params": ["y".repeat(262_144)] });
    user.post(&messages, long).await.problem(400);
    app.finish().await;
}
