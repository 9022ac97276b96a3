//! The end of a share, and of a tunnel, for those who use it.

use entity::user::Role;
use reqwest::Method;
use serde_json::json;

use crate::support::{
    App,
    cluster::{DeadBus, pair},
    mcp::{McpClient, modern},
    tunnel::{TunnelClient, share, unshare},
    until,
};

#[tokio::test]
async fn end_of_a_share_ends_requests_sessions_and_streams() {
    // No heartbeat comes within this test.
    let app = App::without_heartbeat().await;
    let owner = app.caller(Role::Viewer).await;
    let user = app.caller(Role::Viewer).await;
    let mut server = TunnelClient::legacy(&owner, "mine").await;
    let (tunnel, path) = (server.id, format!("/mcp/{}", server.id));
    share(&owner, tunnel, &user, "call").await;
    let client = McpClient::new(&user, tunnel).await;
    let mut stream = client.open(None).await;
    assert!(stream.event().await.expect("an event").message.is_null());
    let listen = json!({ "notifications": { "toolsListChanged": true } });
    let mut subscription = modern(&user, &path, 7, "subscriptions/listen", listen).await;
    assert!(subscription.message().await["method"].is_string());
    let call = json!({ "name": "slow", "arguments": {} });
    let of_session =
        json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call.clone() });
    let mut answer = client.post(&of_session).await;
    assert!(answer.event().await.expect("an event").message.is_null());
    let waiting = {
        let (user, path) = (user.clone(), path.clone());
        tokio::spawn(async move { modern(&user, &path, 2, "tools/call", call).await.last().await })
    };
    let mut sent = Vec::new();
    while sent.len() < 2 {
        let request = server.next_request().await.expect("a request");
        // The gateway reads which arguments a client of the modern era repeats in headers.
        if request["method"] == "tools/list" {
            server.answer(&request, json!({ "tools": [] })).await;
        } else {
            assert_eq!(request["method"], "tools/call");
            sent.push(request["id"].clone());
        }
    }
    // Another user of the tunnel keeps what he does.
    let mine = McpClient::new(&owner, tunnel).await;
    let mut kept = mine.open(None).await;
    assert!(kept.event().await.expect("an event").message.is_null());

    unshare(&owner, tunnel, &user).await;
    let mut cancelled = Vec::new();
    while cancelled.len() < 2 {
        let message = server.next_request().await.expect("a message");
        assert_eq!(message["method"], "notifications/cancelled");
        cancelled.push(message["params"]["requestId"].clone());
    }
    assert!(sent.iter().all(|id| cancelled.contains(id)), "{sent:?} {cancelled:?}");
    let refused = waiting.await.expect("no panic");
    assert_eq!((&refused["id"], &refused["error"]["code"]), (&json!(2), &json!(-32603)));
    let last = subscription.message().await;
    assert_eq!((&last["id"], &last["error"]["code"]), (&json!(7), &json!(-32603)));
    while stream.event().await.is_some() {}
    while answer.event().await.is_some() {}
    let session = user.get(&format!("/v1/mcp-sessions/{}", client.session)).await.ok();
    assert_eq!(session["status"], "closed");
    let ping = json!({ "jsonrpc": "2.0", "id": 3, "method": "ping" });
    assert_eq!(client.post(&ping).await.status, 404);
    assert_eq!(client.open(None).await.status, 404);
    let changed = json!({ "jsonrpc": "2.0", "method": "notifications/tools/list_changed" });
    server.send("notification", changed.clone()).await;
    assert_eq!(kept.message().await, changed);
    drop(kept);
    // A user that gets it again begins with a new session.
    share(&owner, tunnel, &user, "call").await;
    assert_eq!(client.post(&ping).await.status, 404);
    assert_eq!(McpClient::new(&user, tunnel).await.call(1, "ping", json!({})).await["id"], 1);
    app.finish().await;
}

#[tokio::test]
async fn share_deleted_at_another_gateway_ends_with_the_next_heartbeat() {
    let (one, two) = pair(std::sync::Arc::new(DeadBus::default()), 1).await;
    let owner = one.caller(Role::Viewer).await;
    let user = one.caller(Role::Viewer).await;
    let server = TunnelClient::legacy(&owner, "mine").await;
    let (tunnel, path) = (server.id, format!("/mcp/{}", server.id));
    share(&two.here(&owner), tunnel, &user, "call").await;
    let client = McpClient::new(&user, tunnel).await;
    let mut stream = client.open(None).await;
    let listen = json!({ "notifications": { "toolsListChanged": true } });
    let mut subscription = modern(&user, &path, 7, "subscriptions/listen", listen).await;
    assert!(subscription.message().await["method"].is_string());
    unshare(&two.here(&owner), tunnel, &user).await;
    let last = subscription.message().await;
    assert_eq!(last["error"]["message"], "the tunnel is not shared with you any more");
    while stream.event().await.is_some() {}
    until("refusal", async || client.open(None).await.status == 404).await;
    two.finish().await;
    one.finish().await;
}

#[tokio::test]
async fn deleted_tunnel_ends_the_sessions_of_its_users() {
    let app = App::without_heartbeat().await;
    let owner = app.caller(Role::Viewer).await;
    let server = TunnelClient::legacy(&owner, "mine").await;
    let tunnel = server.id;
    let client = McpClient::new(&owner, tunnel).await;
    let mut stream = client.open(None).await;
    let path = format!("/reverse-proxy/sessions/{tunnel}");
    assert_eq!(owner.call(Method::DELETE, &path, None).await.status, 204);
    while stream.event().await.is_some() {}
    let session = owner.get(&format!("/v1/mcp-sessions/{}", client.session)).await.ok();
    assert_eq!(session["status"], "closed");
    owner
        .post(&client.path, json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" }))
        .await
        .problem(404);
    app.finish().await;
}
