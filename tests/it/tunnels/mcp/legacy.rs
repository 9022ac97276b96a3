//! Clients of the legacy era at a server of the legacy era.

use entity::user::Role;
use serde_json::{Value, json};

use crate::support::{
    App, id_of,
    mcp::{McpClient, post},
    tunnel::{TunnelClient, rpc},
    until,
};

#[tokio::test]
async fn client_gets_the_capabilities_of_the_server_and_a_session() {
    let app = App::start().await;
    let owner = app.caller(Role::Viewer).await;
    let client = TunnelClient::legacy(&owner, "mine").await;
    let path = format!("/mcp/{}", client.id);
    for (asked, given) in
        [("2025-11-25", "2025-11-25"), ("2024-11-05", "2024-11-05"), ("1999-01-01", "2025-11-25")]
    {
        let mut initialize = rpc(7, "initialize");
        initialize["params"] = json!({
            "protocolVersion": asked,
            "capabilities": {},
            "clientInfo": { "name": "notebook", "version": "1" },
        });
        let answer = post(&owner, &path, &[], &initialize).await;
        let session = answer.header("mcp-session-id").expect("a session").to_owned();
        let answer = answer.json().await;
        let result = &answer["result"];
        assert_eq!((&answer["id"], &result["protocolVersion"]), (&json!(7), &json!(given)));
        assert_eq!(result["serverInfo"], json!({ "name": "played", "version": "1" }));
        assert_eq!(result["instructions"], "Be kind.");
        // The session is a resource like those of other clients, but only the tunnel publishes in it.
        let resource = owner.get(&format!("/v1/mcp-sessions/{session}")).await.ok();
        assert_eq!(
            (&resource["name"], &resource["tunnel"]),
            (&json!("notebook"), &json!(client.id))
        );
        let messages = format!("/v1/mcp-sessions/{session}/messages");
        owner.post(&messages, rpc(1, "ping")).await.problem(409);
        let agent = app.caller(Role::Agent).await;
        agent.post(&messages, rpc(1, "ping")).await.problem(404);
    }
    app.finish().await;
}

#[tokio::test]
async fn progress_and_answer_come_on_the_stream_of_their_request() {
    let app = App::start().await;
    let owner = app.caller(Role::Viewer).await;
    let mut server = TunnelClient::legacy(&owner, "mine").await;
    let client = McpClient::new(&owner, server.id).await;
    let mut request = rpc("call", "tools/call");
    request["params"]["_meta"] = json!({ "progressToken": "mine" });
    let (mut stream, sent) =
        tokio::join!(client.post(&request), async { server.request("tools/call").await });
    assert!(stream.is_stream());
    assert_eq!(stream.header("cache-control"), Some("no-store, no-transform"));
    assert_ne!(sent["params"]["_meta"]["progressToken"], "mine");
    let first = stream.event().await.expect("an event");
    assert_eq!(first.message, Value::Null);
    assert!(first.id.is_some_and(|id| id.ends_with("-0")));
    let progress = json!({
        "jsonrpc": "2.0",
        "method": "notifications/progress",
        "params": { "progressToken": sent["params"]["_meta"]["progressToken"], "progress": 1 },
    });
    server.send("notification", progress.clone()).await;
    // A line of the log names no request, and can only be for this client.
    let line = json!({ "jsonrpc": "2.0", "method": "notifications/message", "params": { "level": "info", "data": "x" } });
    server.send("notification", line.clone()).await;
    server.answer(&sent, json!({ "content": [] })).await;
    let mut expected = progress;
    expected["params"]["progressToken"] = "mine".into();
    assert_eq!(stream.message().await, expected);
    assert_eq!(stream.message().await, line);
    let answer = stream.message().await;
    assert_eq!(answer, json!({ "jsonrpc": "2.0", "id": "call", "result": { "content": [] } }));
    assert_eq!(stream.event().await, None);
    app.finish().await;
}

#[tokio::test]
async fn older_clients_get_json_or_a_stream_without_ids() {
    let app = App::start().await;
    let owner = app.caller(Role::Viewer).await;
    let mut server = TunnelClient::legacy(&owner, "mine").await;
    let client = McpClient::with(&owner, server.id, "2025-03-26", json!({})).await;
    let (answer, ()) = tokio::join!(client.post(rpc(1, "tools/list")), async {
        let list = server.request("tools/list").await;
        server.answer(&list, json!({ "tools": [] })).await;
    });
    assert!(!answer.is_stream());
    assert_eq!(answer.json().await["result"], json!({ "tools": [] }));
    app.finish().await;
}

#[tokio::test]
async fn question_of_the_server_reaches_the_right_client() {
    let app = App::start().await;
    let owner = app.caller(Role::Viewer).await;
    let mut server = TunnelClient::legacy(&owner, "mine").await;
    let asked = McpClient::new(&owner, server.id).await;
    let deaf = McpClient::with(&owner, server.id, "2025-11-25", json!({})).await;
    let (mut stream, first) = tokio::join!(asked.post(rpc(1, "tools/call")), async {
        server.request("tools/call").await
    });
    // A request of a client that cannot answer does not make the question ambiguous.
    let (other, second) =
        tokio::join!(deaf.post(rpc(1, "tools/call")), async { server.request("tools/call").await });
    let mut question = rpc(0, "elicitation/create");
    question["params"] = json!({ "message": "name?" });
    server.send("response", question.clone()).await;
    let seen = stream.message().await;
    assert_eq!((&seen["method"], &seen["params"]), (&question["method"], &question["params"]));
    let answer = json!({ "jsonrpc": "2.0", "id": seen["id"], "result": { "action": "accept" } });
    // Another client cannot answer it.
    assert_eq!(deaf.post(&answer).await.status, 202);
    assert_eq!(asked.post(&answer).await.status, 202);
    let response = server.response().await;
    assert_eq!(response, json!({ "jsonrpc": "2.0", "id": 0, "result": { "action": "accept" } }));
    // With a second client that can answer, it is not known which of them is asked.
    let also = McpClient::new(&owner, server.id).await;
    let (third, sent) =
        tokio::join!(also.post(rpc(1, "tools/call")), async { server.request("tools/call").await });
    server.send("response", question).await;
    let refusal = server.response().await;
    assert_eq!((&refusal["id"], &refusal["error"]["code"]), (&json!(0), &json!(-32601)));
    for request in [first, second, sent] {
        server.answer(&request, json!({})).await;
    }
    for stream in [stream, other, third] {
        assert_eq!(stream.last().await["result"], json!({}));
    }
    app.finish().await;
}

#[tokio::test]
async fn cancelled_request_is_cancelled_at_the_server() {
    let app = App::start().await;
    let owner = app.caller(Role::Viewer).await;
    let mut server = TunnelClient::legacy(&owner, "mine").await;
    let client = McpClient::new(&owner, server.id).await;
    let other = McpClient::new(&owner, server.id).await;
    let (stream, sent) = tokio::join!(client.post(rpc(5, "tools/call")), async {
        server.request("tools/call").await
    });
    let cancel = json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 5 } });
    // The id belongs to one client: another cannot cancel with it.
    assert_eq!(other.post(&cancel).await.status, 202);
    assert_eq!(client.post(&cancel).await.status, 202);
    let cancelled = server.request("notifications/cancelled").await;
    assert_eq!(cancelled["params"]["requestId"], sent["id"]);
    assert_eq!(stream.last().await["error"]["message"], "the request was cancelled");
    app.finish().await;
}

#[tokio::test]
async fn some_requests_do_not_reach_the_server() {
    let app = App::start().await;
    let owner = app.caller(Role::Viewer).await;
    let mut server = TunnelClient::legacy(&owner, "mine").await;
    let client = McpClient::new(&owner, server.id).await;
    assert_eq!(client.call(1, "ping", json!({})).await["result"], json!({}));
    for method in ["tasks/list", "server/discover", "subscriptions/listen"] {
        assert_eq!(client.call(1, method, json!({})).await["error"]["code"], -32601, "{method}");
    }
    let wrong = client.call(1, "logging/setLevel", json!({ "level": "loud" })).await;
    assert_eq!(wrong["error"]["code"], -32602);
    // Two sessions want the updates of a resource, and the server learns when the last one has lost interest.
    let other = McpClient::new(&owner, server.id).await;
    let uri = json!({ "uri": "file:///a" });
    for client in [&client, &other] {
        let (answer, ()) =
            tokio::join!(client.call(1, "resources/subscribe", uri.clone()), async {
                let subscribe = server.request("resources/subscribe").await;
                server.answer(&subscribe, json!({})).await;
            });
        assert_eq!(answer["result"], json!({}));
    }
    assert_eq!(client.call(1, "resources/unsubscribe", uri.clone()).await["result"], json!({}));
    let (answer, ()) = tokio::join!(other.call(1, "resources/unsubscribe", uri), async {
        let unsubscribe = server.request("resources/unsubscribe").await;
        server.answer(&unsubscribe, json!({})).await;
    });
    assert_eq!(answer["result"], json!({}));
    app.finish().await;
}

#[tokio::test]
async fn request_without_a_valid_session_or_body_is_refused() {
    let app = App::start().await;
    let owner = app.caller(Role::Viewer).await;
    let server = TunnelClient::legacy(&owner, "mine").await;
    let client = McpClient::new(&owner, server.id).await;
    let path = &client.path;
    let unknown = uuid::Uuid::now_v7().to_string();
    for (headers, status, code) in [
        (vec![], 400, -32600),
        (vec![("mcp-session-id", unknown.as_str())], 404, -32001),
        (vec![("mcp-session-id", "no id")], 404, -32001),
        (vec![("mcp-session-id", &client.session), ("mcp-protocol-version", "1.0")], 400, -32022),
    ] {
        let answer = post(&owner, path, &headers, &rpc(3, "ping")).await;
        assert_eq!(answer.status, status, "{headers:?}");
        let answer = answer.json().await;
        assert_eq!((&answer["id"], &answer["error"]["code"]), (&json!(3), &json!(code)));
    }
    for (body, code) in
        [("{", -32700), ("[]", -32600), ("{}", -32600), (r#"{"a":1,"a":2}"#, -32700)]
    {
        let request = owner.request(reqwest::Method::POST, path).body(body);
        let answer =
            request.header("content-type", "application/json").send().await.expect("an answer");
        assert_eq!(answer.status(), 400, "{body}");
        let answer: Value = answer.json().await.expect("JSON");
        assert_eq!(answer["error"]["code"], code, "{body}");
    }
    assert_eq!(client.end().await, 204);
    assert_eq!(client.end().await, 404);
    assert_eq!(client.post(rpc(1, "ping")).await.status, 404);
    app.finish().await;
}

#[tokio::test]
async fn session_that_is_not_used_is_closed() {
    let app = App::with(|config| {
        config.mcp_sessions.idle_seconds = 1;
        config.retention.sweep_seconds = 1;
    })
    .await;
    let owner = app.caller(Role::Viewer).await;
    let server = TunnelClient::legacy(&owner, "mine").await;
    let idle = McpClient::new(&owner, server.id).await;
    let watching = McpClient::new(&owner, server.id).await;
    let stream = watching.open(None).await;
    let is_closed = async |session: &str| {
        owner.get(&format!("/v1/mcp-sessions/{session}")).await.body["status"] == "closed"
    };
    until("end of the session", async || is_closed(&idle.session).await).await;
    assert_eq!(idle.post(rpc(1, "ping")).await.status, 404);
    assert!(!is_closed(&watching.session).await);
    assert_eq!(watching.post(rpc(1, "ping")).await.status, 200);
    drop(stream);
    let session = owner.get(&format!("/v1/mcp-sessions/{}", watching.session)).await.ok();
    assert_eq!(id_of(&session).to_string(), watching.session);
    app.finish().await;
}

#[tokio::test]
async fn subscriptions_are_restored_when_the_client_is_back() {
    let app = App::start().await;
    let owner = app.caller(Role::Viewer).await;
    let mut server = TunnelClient::legacy(&owner, "mine").await;
    let client = McpClient::new(&owner, server.id).await;
    let uri = json!({ "uri": "file:///a" });
    tokio::join!(client.call(1, "resources/subscribe", uri.clone()), async {
        let subscribe = server.request("resources/subscribe").await;
        server.answer(&subscribe, json!({})).await;
    });
    server.leave(&owner).await;
    let mut server = TunnelClient::legacy(&owner, "mine").await;
    let (answer, ()) = tokio::join!(client.call(2, "tools/list", json!({})), async {
        let subscribe = server.request("resources/subscribe").await;
        assert_eq!(subscribe["params"], uri);
        server.answer(&subscribe, json!({})).await;
        let list = server.request("tools/list").await;
        server.answer(&list, json!({ "tools": [] })).await;
    });
    assert_eq!(answer["result"], json!({ "tools": [] }));
    let long = json!({ "uri": format!("file:///{}", "x".repeat(3_000)) });
    assert_eq!(client.call(3, "resources/subscribe", long).await["error"]["code"], -32602);
    app.finish().await;
}
