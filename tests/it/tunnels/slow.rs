//! Slow callers and slow tunnel clients: what waits for them is limited, and the others go on.

use std::time::Duration;

use entity::user::Role;
use serde_json::json;
use tokio::time::timeout;

use crate::support::{
    App,
    mcp::modern,
    soon,
    tunnel::{TunnelClient, request_path, rpc},
};

#[tokio::test]
async fn caller_that_does_not_read_loses_only_its_own_request() {
    let app = App::start().await;
    let owner = app.caller(Role::Viewer).await;
    let mut server = TunnelClient::modern(&owner, "mine").await;
    let path = format!("/mcp/{}", server.id);
    let params = json!({ "_meta": { "progressToken": 1 } });
    let progress = |token: &serde_json::Value| {
        let text = "x".repeat(100_000);
        let params = json!({ "progressToken": token, "progress": 1, "message": text });
        json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": params })
    };
    let (slow, request) = tokio::join!(modern(&owner, &path, 1, "x", params), async {
        let request = server.request("x").await;
        server.send("notification", progress(&request["params"]["_meta"]["progressToken"])).await;
        request
    });
    assert!(slow.is_stream());
    let message = progress(&request["params"]["_meta"]["progressToken"]);
    let cancelled = soon("end of the request", async {
        loop {
            server.send("notification", message.clone()).await;
            // The frame with the cancellation is the next one of the gateway.
            if let Ok(frame) = timeout(Duration::from_millis(1), server.read()).await {
                return frame["payload"].clone();
            }
        }
    })
    .await;
    assert_eq!(cancelled["method"], "notifications/cancelled");
    assert_eq!(cancelled["params"]["requestId"], request["id"]);
    assert!(app.metric("streamgate_tunnel_requests_total{outcome=\"caller_too_slow\"}") >= 1.0);
    let (answer, ()) = tokio::join!(modern(&owner, &path, 2, "y", json!({})), async {
        let request = server.request("y").await;
        server.answer(&request, json!({ "resultType": "complete" })).await;
    });
    assert_eq!(answer.status, 200);
    drop(slow);
    app.finish().await;
}

#[tokio::test]
async fn client_that_does_not_read_is_refused_further_messages() {
    let app = App::start().await;
    let owner = app.caller(Role::Viewer).await;
    let slow = TunnelClient::legacy(&owner, "slow").await;
    let mut other = TunnelClient::legacy(&owner, "other").await;
    let mut message = json!({ "jsonrpc": "2.0", "method": "notifications/x", "params": {} });
    message["params"]["text"] = "x".repeat(200_000).into();
    let path = request_path(slow.id);
    let refused = soon("refusal", async {
        loop {
            let sent = owner.post(&path, message.clone()).await;
            if sent.status != 202 {
                return sent;
            }
        }
    })
    .await;
    let detail = refused.problem(503);
    assert!(detail.contains("too slow"), "{detail}");
    let other_path = request_path(other.id);
    let (answer, ()) = tokio::join!(owner.post(&other_path, rpc(1, "ping")), async {
        let ping = other.request("ping").await;
        other.answer(&ping, json!({})).await;
    });
    answer.ok();
    drop(slow);
    app.finish().await;
}
