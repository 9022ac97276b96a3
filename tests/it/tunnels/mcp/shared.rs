//! Several users of one tunnel, who must not reach each other.

use std::sync::Arc;

use entity::user::Role;
use serde_json::{Value, json};
use streamgate::bus::InProcessBus;

use crate::support::{
    App,
    cluster::pair,
    mcp::{McpClient, modern, modern_request, post},
    tunnel::{TunnelClient, request_path, rpc, set_policy, share, unshare},
};

fn call(id: u64) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": { "name": "slow" } })
}

#[tokio::test]
async fn question_about_the_request_of_one_user_never_reaches_another() {
    let app = App::start().await;
    let owner = app.caller(Role::Viewer).await;
    let user = app.caller(Role::Viewer).await;
    let mut server = TunnelClient::legacy(&owner, "mine").await;
    share(&owner, server.id, &user, "call").await;
    // Only the client of the other user could answer.
    let curious = McpClient::new(&user, server.id).await;
    let deaf = McpClient::with(&owner, server.id, "2025-11-25", json!({})).await;
    let (waiting, first) =
        tokio::join!(curious.post(call(1)), async { server.request("tools/call").await });
    let (asking, second) =
        tokio::join!(deaf.post(call(1)), async { server.request("tools/call").await });
    server.send("response", rpc(0, "sampling/createMessage")).await;
    let refusal = server.response().await;
    assert_eq!((&refusal["id"], &refusal["error"]["code"]), (&json!(0), &json!(-32601)));
    for request in [first, second] {
        server.answer(&request, json!({})).await;
    }
    for answer in [waiting, asking] {
        assert_eq!(answer.last().await["result"], json!({}));
    }
    app.finish().await;
}

#[tokio::test]
async fn user_of_a_shared_tunnel_cannot_lock_the_others_out() {
    let app = App::with(|config| config.tunnels.requests_in_flight = 8).await;
    let owner = app.caller(Role::Viewer).await;
    let user = app.caller(Role::Viewer).await;
    let mut server = TunnelClient::legacy(&owner, "mine").await;
    share(&owner, server.id, &user, "call").await;
    let client = McpClient::new(&user, server.id).await;
    let mut answers = Vec::new();
    for id in [1, 2] {
        let (answer, _) =
            tokio::join!(client.post(call(id)), async { server.request("tools/call").await });
        answers.push(answer);
    }
    let refused = client.call(3, "tools/call", json!({ "name": "slow" })).await;
    let reason = "as many requests are in flight as are allowed: 2";
    assert_eq!(refused["error"]["message"], reason);
    let mine = McpClient::new(&owner, server.id).await;
    for id in 0..6 {
        let (answer, _) =
            tokio::join!(mine.post(call(id)), async { server.request("tools/call").await });
        answers.push(answer);
    }
    let refused = mine.call(7, "tools/call", json!({})).await;
    assert!(refused["error"]["message"].as_str().expect("text").ends_with("allowed: 8"));
    drop((answers, server));
    app.finish().await;
}

#[tokio::test]
async fn every_message_is_a_request_or_a_notification() {
    let app = App::start().await;
    let owner = app.caller(Role::Viewer).await;
    let user = app.caller(Role::Viewer).await;
    let mut server = TunnelClient::legacy(&owner, "mine").await;
    share(&owner, server.id, &user, "call").await;
    set_policy(&owner, server.id, json!({ "tools": { "deny": ["secret"] } })).await;
    for caller in [&user, &owner] {
        let client = McpClient::new(caller, server.id).await;
        for message in [
            json!({ "jsonrpc": "2.0", "method": "tools/call", "params": { "name": "secret" } }),
            json!({ "jsonrpc": "2.0", "method": "initialize", "params": {} }),
            json!({ "jsonrpc": "2.0", "id": 1, "method": "notifications/cancelled" }),
        ] {
            let answer = client.post(&message).await;
            assert_eq!(answer.status, 400, "{message}");
            assert_eq!(answer.json().await["error"]["code"], -32600, "{message}");
            if caller.token == owner.token {
                caller.post(&request_path(server.id), message).await.problem(400);
            }
        }
    }
    let last = json!({ "jsonrpc": "2.0", "method": "notifications/roots/list_changed" });
    assert_eq!(McpClient::new(&user, server.id).await.post(&last).await.status, 202);
    // Nothing else has reached the server.
    server.request("notifications/roots/list_changed").await;
    app.finish().await;
}

#[tokio::test]
async fn request_that_waits_is_checked_again_before_it_is_sent() {
    let app = App::without_heartbeat().await;
    let owner = app.caller(Role::Viewer).await;
    let user = app.caller(Role::Viewer).await;
    let client = TunnelClient::legacy(&owner, "mine").await;
    let (tunnel, path) = (client.id, format!("/mcp/{}", client.id));
    share(&owner, tunnel, &user, "call").await;
    client.leave(&owner).await;
    let call = modern_request(1, "tools/call", json!({ "name": "echo" }));
    let headers = [
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "tools/call"),
        ("mcp-name", "echo"),
        ("prefer", "wait=10"),
    ];
    let (answer, mut server) = tokio::join!(post(&user, &path, &headers, &call), async {
        unshare(&owner, tunnel, &user).await;
        TunnelClient::legacy(&owner, "mine").await
    });
    assert_eq!(answer.status, 404);
    let mine = McpClient::new(&owner, tunnel).await;
    let (answer, ()) = tokio::join!(mine.call(1, "prompts/list", json!({})), async {
        // The first message after the handshake.
        let request = server.request("prompts/list").await;
        server.answer(&request, json!({ "prompts": [] })).await;
    });
    assert_eq!(answer["result"]["prompts"], json!([]));
    app.finish().await;
}

#[tokio::test]
async fn change_at_another_gateway_takes_effect_at_once() {
    // No heartbeat comes within this test.
    let (one, two) = pair(Arc::new(InProcessBus::default()), 60).await;
    let owner = one.caller(Role::Viewer).await;
    let user = one.caller(Role::Viewer).await;
    let server = TunnelClient::legacy(&owner, "mine").await;
    let (tunnel, path) = (server.id, format!("/mcp/{}", server.id));
    share(&two.here(&owner), tunnel, &user, "call").await;
    let listen = json!({ "notifications": { "toolsListChanged": true } });
    let mut subscription = modern(&user, &path, 7, "subscriptions/listen", listen).await;
    assert!(subscription.message().await["method"].is_string());
    unshare(&two.here(&owner), tunnel, &user).await;
    let last = subscription.message().await;
    assert_eq!(last["error"]["message"], "the tunnel is not shared with you any more");
    user.post(&path, rpc(1, "ping")).await.problem(404);
    two.finish().await;
    one.finish().await;
}

#[tokio::test]
async fn lower_role_ends_the_updates_of_resources() {
    let app = App::start().await;
    let owner = app.caller(Role::Viewer).await;
    let user = app.caller(Role::Viewer).await;
    let mut server = TunnelClient::legacy(&owner, "mine").await;
    share(&owner, server.id, &user, "call").await;
    let client = McpClient::new(&user, server.id).await;
    let mut stream = client.open(None).await;
    assert!(stream.event().await.expect("an event").message.is_null());
    let uri = json!({ "uri": "file:///a" });
    let (_, ()) = tokio::join!(client.call(1, "resources/subscribe", uri.clone()), async {
        let subscribe = server.request("resources/subscribe").await;
        server.answer(&subscribe, json!({})).await;
    });
    let updated =
        json!({ "jsonrpc": "2.0", "method": "notifications/resources/updated", "params": uri });
    server.send("notification", updated.clone()).await;
    assert_eq!(stream.message().await, updated);
    share(&owner, server.id, &user, "list").await;
    client.call(2, "ping", json!({})).await;
    server.send("notification", updated).await;
    let changed = json!({ "jsonrpc": "2.0", "method": "notifications/tools/list_changed" });
    server.send("notification", changed.clone()).await;
    assert_eq!(stream.message().await, changed);
    drop(stream);
    app.finish().await;
}
