//! Calls of tools in the audit log.

use entity::user::Role;
use serde_json::{Value, json};

use crate::support::{
    App, Caller,
    mcp::{McpClient, modern, modern_request, post},
    tunnel::{TunnelClient, request_path, set_policy, share},
    until,
};

/// The calls in the audit log, oldest first, when there are as many.
async fn calls(admin: &Caller, count: usize) -> Vec<Value> {
    let path = "/v1/audit-events?kind=tool.called&limit=200";
    let list = async || admin.get(path).await.ok()["items"].as_array().expect("items").clone();
    until("calls in the audit log", async || list().await.len() >= count).await;
    let mut calls = list().await;
    assert_eq!(calls.len(), count);
    calls.reverse();
    calls
}

/// Answers calls by the name of the tool.
async fn serve(mut server: TunnelClient) {
    while let Some(request) = server.next_request().await {
        if request["method"] == "tools/list" {
            server.answer(&request, json!({ "tools": [] })).await;
        }
        match request["params"]["name"].as_str() {
            Some("fine") => server.answer(&request, json!({ "content": [] })).await,
            Some("broken") => server.answer(&request, json!({ "isError": true })).await,
            Some("odd") => {
                let error = json!({ "code": "x".repeat(100_000), "message": 5 });
                let answer = json!({ "jsonrpc": "2.0", "id": request["id"], "error": error });
                server.send("response", answer).await;
            }
            Some("missing") => server.fail(&request, -32602, &"x".repeat(1_000)).await,
            _ => {}
        }
    }
}

#[tokio::test]
async fn every_call_of_a_tool_is_in_the_audit_log() {
    let app = App::start().await;
    let admin = app.log_in("admin").await;
    let owner = app.caller(Role::Viewer).await;
    let user = app.caller(Role::Viewer).await;
    let server = TunnelClient::legacy(&owner, "mine").await;
    let (tunnel, path) = (server.id, format!("/mcp/{}", server.id));
    let server = tokio::spawn(serve(server));
    share(&owner, tunnel, &user, "call").await;
    set_policy(&owner, tunnel, json!({ "tools": { "deny": ["secret"] } })).await;
    let call = |tool: &str| json!({ "name": tool, "arguments": { "password": "hunter2" } });
    let request = |tool: &str| json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call(tool) });
    let client = McpClient::new(&user, tunnel).await;
    client.call(1, "tools/list", json!({})).await;
    client.call(2, "tools/call", call("fine")).await;
    modern(&user, &path, 3, "tools/call", call("broken")).await.last().await;
    client.call(4, "tools/call", call("missing")).await;
    client.call(5, "tools/call", call("secret")).await;
    let slow = json!({ "jsonrpc": "2.0", "id": 6, "method": "tools/call", "params": call("slow") });
    let mut answer = client.post(&slow).await;
    assert!(answer.event().await.expect("an event").message.is_null());
    let cancel = json!({ "requestId": 6 });
    let cancel = json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": cancel });
    assert_eq!(client.post(&cancel).await.status, 202);
    while answer.event().await.is_some() {}
    // The owner, and the operation without the MCP endpoint.
    owner.post(&request_path(tunnel), request("fine")).await.ok();
    owner.post(&format!("{}?wait=false", request_path(tunnel)), request("broken")).await.ok();
    calls(&admin, 7).await;
    owner.post(&request_path(tunnel), request("odd")).await.ok();
    let found = calls(&admin, 8).await;
    let me = |caller: &Caller| {
        let caller = caller.clone();
        async move { caller.me().await }
    };
    let (of_user, of_owner) = (me(&user).await, me(&owner).await);
    let mut seen = Vec::new();
    for event in &found {
        let data = &event["data"];
        assert_eq!(event["user_id"], of_owner["id"]);
        assert_eq!(event["address"], "127.0.0.1");
        assert_eq!(data["tunnel"], json!(tunnel));
        assert!(data["duration_ms"].as_f64().is_some_and(|took| took >= 0.0), "{data}");
        let by_user = event["actor_id"] == of_user["id"];
        let caller = if by_user { &of_user } else { &of_owner };
        assert_eq!(
            (&event["actor_id"], &event["session_id"]),
            (&caller["id"], &caller["session_id"])
        );
        let text = |name: &str| data[name].as_str().expect("text").to_owned();
        seen.push((by_user, text("tool"), text("outcome")));
    }
    let expected = [
        (true, "fine", "result"),
        (true, "broken", "tool_error"),
        (true, "missing", "error"),
        (true, "secret", "refused"),
        (true, "slow", "cancelled"),
        (false, "fine", "result"),
        (false, "broken", "tool_error"),
        (false, "odd", "error"),
    ];
    let expected = expected.map(|(user, tool, end)| (user, tool.to_owned(), end.to_owned()));
    assert_eq!(seen, expected);
    let error = &found[2]["data"]["error"];
    assert_eq!((&error["code"], &error["message"]), (&json!(-32602), &json!("x".repeat(256))));
    assert_eq!(found[7]["data"]["error"], json!({ "code": null, "message": "" }));
    assert!(!found.iter().any(|event| event.to_string().contains("hunter2")));
    server.abort();
    app.finish().await;
}

#[tokio::test]
async fn arguments_are_in_the_audit_log_only_if_configured() {
    let app = App::with(|config| config.tunnels.audit_arguments = true).await;
    let admin = app.log_in("admin").await;
    let owner = app.caller(Role::Viewer).await;
    let server = TunnelClient::legacy(&owner, "mine").await;
    let path = format!("/mcp/{}", server.id);
    let server = tokio::spawn(serve(server));
    // A number that no double has.
    let text = r#"{"precise":0.1000000000000000055511151231257827}"#;
    let call = modern_request(1, "tools/call", json!({ "name": "fine", "arguments": "HERE" }));
    let body = call.to_string().replace("\"HERE\"", text);
    let request = owner.request(reqwest::Method::POST, &path).body(body);
    let request = request
        .header("content-type", "application/json")
        .header("mcp-protocol-version", "2026-07-28")
        .header("mcp-method", "tools/call")
        .header("mcp-name", "fine");
    assert_eq!(request.send().await.expect("an answer").status(), 200);
    let large = json!({ "name": "fine", "arguments": { "text": "x".repeat(20_000) } });
    let large = modern_request(2, "tools/call", large);
    let headers = [
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "tools/call"),
        ("mcp-name", "fine"),
    ];
    post(&owner, &path, &headers, &large).await.last().await;
    let found = calls(&admin, 2).await;
    let raw = admin.request(reqwest::Method::GET, "/v1/audit-events?kind=tool.called");
    let raw = raw.send().await.expect("an answer").text().await.expect("a body");
    assert!(raw.contains(text), "{raw}");
    assert_eq!(found[1]["data"]["arguments_bytes"], 20_011);
    assert!(found[1]["data"].get("arguments").is_none());
    server.abort();
    app.finish().await;
}

#[tokio::test]
async fn calls_wait_for_a_database_that_fails() {
    let app = App::start().await;
    let admin = app.log_in("admin").await;
    let owner = app.caller(Role::Viewer).await;
    let server = TunnelClient::legacy(&owner, "mine").await;
    let path = format!("/mcp/{}", server.id);
    let server = tokio::spawn(serve(server));
    app.rename_table("audit_event", "hidden_audit_event").await;
    for id in 0..3 {
        let call = json!({ "name": "fine", "arguments": {} });
        let answer = modern(&owner, &path, id, "tools/call", call).await.last().await;
        assert!(answer["result"].is_object(), "{answer}");
    }
    let failed = "streamgate_job_runs_total{job=\"write_audit_events\",outcome=\"failed\"}";
    // More than one for each call.
    until("failed runs", async || app.metric(failed) > 3.0).await;
    app.rename_table("hidden_audit_event", "audit_event").await;
    assert_eq!(calls(&admin, 3).await.len(), 3);
    server.abort();
    app.finish().await;
}
