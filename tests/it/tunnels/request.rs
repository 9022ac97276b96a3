//! `POST /reverse-proxy/sessions/{id}/request`: an answer reaches the caller that asked.

use std::time::Duration;

use entity::user::Role;
use reqwest::Method;
use serde_json::json;
use tokio::time::timeout;
use uuid::Uuid;

use crate::support::{
    App,
    tunnel::{TunnelClient, request_path, rpc},
    until,
};

#[tokio::test]
async fn answers_reach_whoever_asked() {
    let app = App::start().await;
    let owner = app.caller(Role::Viewer).await;
    let mut client = TunnelClient::legacy(&owner, "mine").await;
    let path = request_path(client.id);
    // The same id on purpose, and a number that a double cannot hold.
    let id = json!(9_007_199_254_740_993_u64);
    let (first, second, ()) = tokio::join!(
        owner.post(&path, rpc(id.clone(), "tools/list")),
        owner.post(&path, rpc(id.clone(), "prompts/list")),
        async {
            let (a, b) =
                (client.read().await["payload"].take(), client.read().await["payload"].take());
            assert_ne!(a["id"], b["id"]);
            for request in [b, a] {
                let method = request["method"].clone();
                client.answer(&request, json!({ "for": method })).await;
            }
        },
    );
    let expected =
        |method: &str| json!({ "jsonrpc": "2.0", "id": id, "result": { "for": method } });
    assert_eq!(first.ok(), expected("tools/list"));
    assert_eq!(second.ok(), expected("prompts/list"));
    let notification = json!({ "jsonrpc": "2.0", "method": "notifications/roots/list_changed" });
    assert_eq!(owner.post(&path, notification.clone()).await.status, 202);
    assert_eq!(client.request("notifications/roots/list_changed").await, notification);
    // The result of the handshake: a second one would begin a new session for everybody.
    let initialize = owner.post(&path, rpc("i", "initialize")).await.ok();
    assert_eq!(initialize["result"]["instructions"], "Be kind.");
    app.finish().await;
}

#[tokio::test]
async fn numbers_pass_with_the_text_that_they_have() {
    let app = App::start().await;
    let owner = app.caller(Role::Viewer).await;
    let mut client = TunnelClient::legacy(&owner, "mine").await;
    let request = owner.request(Method::POST, &request_path(client.id));
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"n":1.10,"big":123456789012345678901234567890}}"#;
    let request = request.header("content-type", "application/json").body(body);
    let (answer, ()) = tokio::join!(
        async { request.send().await.expect("an answer").text().await.expect("a text") },
        async {
            let id = client.request("x").await["id"].clone();
            let answer = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"n":2.50}}}}"#);
            client.text(format!(r#"{{"type":"response","payload":{answer}}}"#)).await;
        },
    );
    assert!(answer.contains(r#""n":2.50"#), "{answer}");
    app.finish().await;
}

#[tokio::test]
async fn request_without_an_answer_fails_and_is_cancelled() {
    let app = App::with(|config| config.tunnels.request_seconds = 1).await;
    let owner = app.caller(Role::Viewer).await;
    let mut client = TunnelClient::legacy(&owner, "slow").await;
    let path = request_path(client.id);
    let detail = owner.post(&path, rpc(1, "tools/call")).await.problem(504);
    assert!(detail.contains("1 seconds"), "{detail}");
    let request = client.request("tools/call").await;
    let cancelled = client.request("notifications/cancelled").await;
    assert_eq!(cancelled["params"]["requestId"], request["id"]);
    assert!(app.metric("streamgate_tunnel_requests_total{outcome=\"timed_out\"}") >= 1.0);
    // A late answer is dropped.
    client.answer(&request, json!({ "late": true })).await;
    let (answer, ()) = tokio::join!(owner.post(&path, rpc(1, "ping")), async {
        let ping = client.request("ping").await;
        client.answer(&ping, json!({})).await;
    });
    assert_eq!(answer.ok()["result"], json!({}));
    app.finish().await;
}

#[tokio::test]
async fn request_of_a_caller_that_disconnects_is_cancelled() {
    let app = App::start().await;
    let owner = app.caller(Role::Viewer).await;
    let mut client = TunnelClient::legacy(&owner, "mine").await;
    let request = owner.request(Method::POST, &request_path(client.id)).json(&rpc(1, "tools/call"));
    let sent = tokio::spawn(request.send());
    let request = client.request("tools/call").await;
    sent.abort();
    let cancelled = client.request("notifications/cancelled").await;
    assert_eq!(cancelled["params"]["requestId"], request["id"]);
    app.finish().await;
}

#[tokio::test]
async fn loss_of_the_client_fails_its_requests_at_once() {
    let app = App::start().await;
    let owner = app.caller(Role::Viewer).await;
    let mut client = TunnelClient::legacy(&owner, "mine").await;
    let path = request_path(client.id);
    let (answer, ()) = tokio::join!(
        async { timeout(Duration::from_secs(10), owner.post(&path, rpc(1, "tools/call"))).await },
        async {
            client.request("tools/call").await;
            drop(client);
        },
    );
    let answer = answer.expect("an answer long before the timeout of requests");
    assert!(answer.headers.contains_key("retry-after"));
    assert_eq!(answer.problem(503), "the tunnel client has disconnected");
    owner.post(&path, rpc(1, "tools/call")).await.problem(503);
    app.finish().await;
}

#[tokio::test]
async fn message_that_the_client_cannot_take_is_refused() {
    let app = App::with(|config| {
        config.server.body_limit_bytes = 2_000_000;
        config.tunnels.requests_in_flight = 1;
    })
    .await;
    let owner = app.caller(Role::Viewer).await;
    let mut client = TunnelClient::legacy(&owner, "mine").await;
    let path = request_path(client.id);
    let mut large = rpc(1, "tools/call");
    large["params"]["text"] = "x".repeat(1_000_000).into();
    let detail = owner.post(&path, large).await.problem(413);
    assert!(detail.contains("1000000"), "{detail}");
    // The next request is the only one in flight, so a second one is refused.
    let (first, ()) = tokio::join!(owner.post(&path, rpc(1, "tools/call")), async {
        let request = client.request("tools/call").await;
        let detail = owner.post(&path, rpc(2, "tools/call")).await.problem(503);
        assert!(detail.ends_with("allowed: 1"), "{detail}");
        client.answer(&request, json!({})).await;
    });
    first.ok();
    app.finish().await;
}

#[tokio::test]
async fn answer_that_is_not_valid_json_is_an_error() {
    let app = App::start().await;
    let owner = app.caller(Role::Viewer).await;
    let mut client = TunnelClient::legacy(&owner, "mine").await;
    let path = request_path(client.id);
    let (answer, ()) = tokio::join!(owner.post(&path, rpc("q", "tools/call")), async {
        let id = client.request("tools/call").await["id"].clone();
        let twice = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"a":1,"a":2}}}}"#);
        client.text(format!(r#"{{"type":"response","payload":{twice}}}"#)).await;
    });
    let answer = answer.ok();
    assert_eq!((&answer["id"], &answer["error"]["code"]), (&json!("q"), &json!(-32603)));
    client.text("not JSON".to_owned()).await;
    client.text("{}".to_owned()).await;
    // The connection has survived.
    client.send("response", json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" })).await;
    assert_eq!(client.response().await["result"], json!({}));
    app.finish().await;
}

#[tokio::test]
async fn only_the_owner_sends_requests() {
    let app = App::start().await;
    let owner = app.caller(Role::Viewer).await;
    let client = TunnelClient::legacy(&owner, "mine").await;
    let path = request_path(client.id);
    app.caller(Role::Operator).await.post(&path, rpc(1, "ping")).await.problem(404);
    app.log_in("admin").await.post(&path, rpc(1, "ping")).await.problem(403);
    owner.post(&request_path(Uuid::now_v7()), rpc(1, "ping")).await.problem(404);
    let response = json!({ "jsonrpc": "2.0", "id": 1, "result": {} });
    owner.post(&path, response).await.problem(400);
    app.finish().await;
}

#[tokio::test]
async fn request_to_a_modern_server_gets_its_meta() {
    let app = App::start().await;
    let owner = app.caller(Role::Viewer).await;
    let mut client = TunnelClient::modern(&owner, "mine").await;
    let path = request_path(client.id);
    let (answer, ()) = tokio::join!(owner.post(&path, rpc(1, "tools/list")), async {
        let request = client.request("tools/list").await;
        let meta = &request["params"]["_meta"];
        assert_eq!(meta["io.modelcontextprotocol/protocolVersion"], "2026-07-28");
        client.answer(&request, json!({ "resultType": "complete", "tools": [] })).await;
    });
    assert_eq!(answer.ok()["result"]["resultType"], "complete");
    until("end of the request", async || app.metric("streamgate_tunnel_requests_in_flight") == 0.0)
        .await;
    app.finish().await;
}

#[tokio::test]
async fn late_answer_of_an_earlier_connection_reaches_no_other_request() {
    let app = App::start().await;
    let owner = app.caller(Role::Viewer).await;
    let headers = [("x-tunnel-name", "mine"), ("x-session-id", "process")];
    let mut client = TunnelClient::register_with(&owner, &headers).await;
    client.initialize().await;
    client.listed(&owner).await;
    let path = request_path(client.id);
    let (lost, late) = tokio::join!(owner.post(&path, rpc(1, "first")), async {
        let late = client.request("first").await;
        drop(client);
        late
    });
    lost.problem(503);
    // The MCP server has gone on, and answers over the next connection.
    let mut client = TunnelClient::register_with(&owner, &headers).await;
    client.initialize().await;
    let (answer, ()) = tokio::join!(owner.post(&path, rpc(2, "second")), async {
        let second = client.request("second").await;
        for number in 0..10 {
            let id = late["id"].as_u64().expect("a number") - 5 + number;
            client.answer(&json!({ "id": id }), json!({ "for": "first" })).await;
        }
        client.answer(&second, json!({ "for": "second" })).await;
    });
    assert_eq!(answer.ok()["result"], json!({ "for": "second" }));
    app.finish().await;
}

#[tokio::test]
async fn owner_cannot_cancel_the_requests_of_others() {
    let app = App::start().await;
    let owner = app.caller(Role::Viewer).await;
    let client = TunnelClient::legacy(&owner, "mine").await;
    let cancel = json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 5 } });
    let detail = owner.post(&request_path(client.id), cancel).await.problem(400);
    assert!(detail.contains("notifications/cancelled"), "{detail}");
    app.finish().await;
}
