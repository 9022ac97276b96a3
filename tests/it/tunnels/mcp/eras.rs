//! Clients of one era at a server of the other.

use entity::user::Role;
use serde_json::{Value, json};

use crate::support::{
    App,
    mcp::{McpClient, modern},
    tunnel::{TunnelClient, rpc},
};

#[tokio::test]
async fn modern_client_answers_a_question_of_a_legacy_server() {
    let app = App::start().await;
    let owner = app.caller(Role::Viewer).await;
    let mut server = TunnelClient::legacy(&owner, "mine").await;
    let path = format!("/mcp/{}", server.id);
    let discovered = modern(&owner, &path, 0, "server/discover", json!({})).await.json().await;
    let result = &discovered["result"];
    assert_eq!(result["supportedVersions"], json!(["2026-07-28"]));
    assert_eq!(
        (&result["resultType"], &result["instructions"]),
        (&json!("complete"), &json!("Be kind."))
    );

    let params = json!({ "name": "ask", "arguments": {} });
    let (first, sent) =
        tokio::join!(modern(&owner, &path, 1, "tools/call", params.clone()), async {
            let list = server.request("tools/list").await;
            server.answer(&list, json!({ "tools": [] })).await;
            let call = server.request("tools/call").await;
            // The keys of the modern era do not reach the server.
            assert_eq!(call["params"]["_meta"], json!({}));
            let mut question = rpc(0, "elicitation/create");
            question["params"] = json!({ "message": "name?" });
            server.send("response", question).await;
            call
        });
    let first = first.json().await;
    assert_eq!(
        (&first["id"], &first["result"]["resultType"]),
        (&json!(1), &json!("input_required"))
    );
    let requests = first["result"]["inputRequests"].as_object().expect("requests");
    let (key, question) = requests.iter().next().expect("a request");
    assert_eq!(
        question,
        &json!({ "method": "elicitation/create", "params": { "message": "name?" } })
    );

    let mut retry = params;
    retry["requestState"] = first["result"]["requestState"].clone();
    retry["inputResponses"] = json!({ key: { "action": "accept", "content": { "name": "Ada" } } });
    // Another method, another tool and a second use get nothing with the state.
    let other = modern(&owner, &path, 2, "prompts/get", retry.clone()).await;
    assert_eq!(other.json().await["error"]["code"], -32602);
    let mut of_other_tool = retry.clone();
    of_other_tool["name"] = "other".into();
    let other = modern(&owner, &path, 2, "tools/call", of_other_tool).await;
    assert_eq!(other.json().await["error"]["code"], -32602);
    let (second, ()) = tokio::join!(modern(&owner, &path, 3, "tools/call", retry.clone()), async {
        let answer = server.response().await;
        assert_eq!(
            (&answer["id"], &answer["result"]["content"]["name"]),
            (&json!(0), &json!("Ada"))
        );
        server.answer(&sent, json!({ "content": [] })).await;
    });
    let second = second.json().await;
    let result = json!({ "content": [], "resultType": "complete" });
    assert_eq!(second, json!({ "jsonrpc": "2.0", "id": 3, "result": result }));
    let again = modern(&owner, &path, 4, "tools/call", retry).await;
    assert_eq!(again.json().await["error"]["code"], -32602);
    app.finish().await;
}

#[tokio::test]
async fn modern_client_subscribes_at_a_legacy_server() {
    let app = App::start().await;
    let owner = app.caller(Role::Viewer).await;
    let mut server = TunnelClient::legacy(&owner, "mine").await;
    let path = format!("/mcp/{}", server.id);
    let filter = json!({ "toolsListChanged": true, "resourceSubscriptions": ["file:///a"] });
    let params = json!({ "notifications": filter });
    let (mut stream, ()) =
        tokio::join!(modern(&owner, &path, "sub", "subscriptions/listen", params), async {
            let subscribe = server.request("resources/subscribe").await;
            assert_eq!(subscribe["params"], json!({ "uri": "file:///a" }));
            server.answer(&subscribe, json!({})).await;
        });
    let acknowledged = stream.message().await;
    assert_eq!(acknowledged["method"], "notifications/subscriptions/acknowledged");
    assert_eq!(acknowledged["params"]["notifications"], filter);
    for (method, params) in [
        ("notifications/prompts/list_changed", Value::Null),
        ("notifications/resources/updated", json!({ "uri": "file:///b" })),
        ("notifications/resources/updated", json!({ "uri": "file:///a" })),
        ("notifications/tools/list_changed", Value::Null),
    ] {
        let mut notification = json!({ "jsonrpc": "2.0", "method": method });
        if !params.is_null() {
            notification["params"] = params;
        }
        server.send("notification", notification).await;
    }
    for method in ["notifications/resources/updated", "notifications/tools/list_changed"] {
        let message = stream.message().await;
        assert_eq!(message["method"], method);
        assert_eq!(message["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], "sub");
    }
    // The end of the tunnel client is an answer, so that no client waits for ever.
    server.leave(&owner).await;
    assert_eq!(stream.message().await["error"]["message"], "the tunnel client has disconnected");
    assert_eq!(stream.event().await, None);
    app.finish().await;
}

#[tokio::test]
async fn resource_updates_go_on_while_a_client_wants_them() {
    let app = App::start().await;
    let owner = app.caller(Role::Viewer).await;
    let mut server = TunnelClient::legacy(&owner, "mine").await;
    let path = format!("/mcp/{}", server.id);
    let legacy = McpClient::new(&owner, server.id).await;
    let uri = json!({ "uri": "file:///a" });
    let (answer, ()) = tokio::join!(legacy.call(1, "resources/subscribe", uri.clone()), async {
        let subscribe = server.request("resources/subscribe").await;
        server.answer(&subscribe, json!({})).await;
    });
    assert_eq!(answer["result"], json!({}));
    let params = json!({ "notifications": { "resourceSubscriptions": ["file:///a"] } });
    let mut streams = Vec::new();
    for id in [1, 2] {
        let listen = modern(&owner, &path, id, "subscriptions/listen", params.clone());
        let (stream, ()) = tokio::join!(listen, async {
            let subscribe = server.request("resources/subscribe").await;
            server.answer(&subscribe, json!({})).await;
        });
        streams.push(stream);
    }
    // Others still want them, so the server hears nothing of this.
    let left = legacy.call(2, "resources/unsubscribe", uri.clone()).await;
    assert_eq!(left["result"], json!({}));
    drop(streams.pop());
    let updated = json!({ "jsonrpc": "2.0", "method": "notifications/resources/updated" });
    let mut updated = updated;
    updated["params"] = uri.clone();
    server.send("notification", updated).await;
    streams[0].message().await;
    assert_eq!(streams[0].message().await["params"]["uri"], "file:///a");
    drop(streams);
    let unsubscribe = server.request("resources/unsubscribe").await;
    assert_eq!(unsubscribe["params"], uri);
    app.finish().await;
}

#[tokio::test]
async fn legacy_client_answers_what_a_modern_server_requires() {
    let app = App::start().await;
    let owner = app.caller(Role::Viewer).await;
    let mut server = TunnelClient::modern(&owner, "mine").await;
    let client = McpClient::new(&owner, server.id).await;
    let mut request = rpc(1, "tools/call");
    request["params"] = json!({ "name": "ask", "_meta": { "progressToken": "p" } });
    let (mut stream, first) =
        tokio::join!(client.post(&request), async { server.request("tools/call").await });
    let meta = &first["params"]["_meta"];
    assert_eq!(meta["io.modelcontextprotocol/protocolVersion"], "2026-07-28");
    assert_eq!(meta["io.modelcontextprotocol/clientInfo"]["name"], "test");
    assert!(meta["io.modelcontextprotocol/clientCapabilities"]["elicitation"].is_object());
    let inputs = json!({
        "a": { "method": "elicitation/create", "params": { "message": "name?" } },
        "b": { "method": "roots/list", "params": {} },
    });
    let result =
        json!({ "resultType": "input_required", "inputRequests": inputs, "requestState": "s" });
    server.answer(&first, result).await;
    for _ in 0..2 {
        let question = stream.message().await;
        let result = json!({ "for": question["method"] });
        let answer = json!({ "jsonrpc": "2.0", "id": question["id"], "result": result });
        assert_eq!(client.post(&answer).await.status, 202);
    }
    let second = server.request("tools/call").await;
    assert_ne!(second["id"], first["id"]);
    assert_eq!(second["params"]["requestState"], "s");
    let answers = json!({ "a": { "for": "elicitation/create" }, "b": { "for": "roots/list" } });
    assert_eq!(second["params"]["inputResponses"], answers);
    assert_eq!(second["params"]["name"], "ask");
    let result =
        json!({ "resultType": "complete", "content": [], "ttlMs": 0, "cacheScope": "private" });
    server.answer(&second, result).await;
    let answer = stream.message().await;
    assert_eq!(answer, json!({ "jsonrpc": "2.0", "id": 1, "result": { "content": [] } }));
    app.finish().await;
}

#[tokio::test]
async fn legacy_client_gets_the_changes_of_a_modern_server() {
    let app = App::start().await;
    let owner = app.caller(Role::Viewer).await;
    let mut server = TunnelClient::modern(&owner, "mine").await;
    let client = McpClient::new(&owner, server.id).await;
    let (mut stream, first) =
        tokio::join!(client.open(None), async { server.request("subscriptions/listen").await });
    stream.event().await.expect("an event");
    assert_eq!(first["params"]["notifications"]["toolsListChanged"], true);
    // A subscription to a resource begins another one at the server.
    let uri = json!({ "uri": "file:///a" });
    assert_eq!(client.call(1, "resources/subscribe", uri.clone()).await["result"], json!({}));
    let cancelled = server.request("notifications/cancelled").await;
    assert_eq!(cancelled["params"]["requestId"], first["id"]);
    let second = server.request("subscriptions/listen").await;
    assert_eq!(second["params"]["notifications"]["resourceSubscriptions"], json!(["file:///a"]));
    let meta = json!({ "io.modelcontextprotocol/subscriptionId": second["id"] });
    let params = json!({ "uri": "file:///a", "_meta": meta });
    let method = "notifications/resources/updated";
    server
        .send("notification", json!({ "jsonrpc": "2.0", "method": method, "params": params }))
        .await;
    let updated = stream.message().await;
    assert_eq!(updated, json!({ "jsonrpc": "2.0", "method": method, "params": uri }));
    drop(stream);
    app.finish().await;
}

#[tokio::test]
async fn odd_messages_of_a_server_end_no_stream() {
    let app = App::start().await;
    let owner = app.caller(Role::Viewer).await;
    let mut server = TunnelClient::legacy(&owner, "mine").await;
    let path = format!("/mcp/{}", server.id);
    let params = json!({ "notifications": { "toolsListChanged": true } });
    let mut stream = modern(&owner, &path, "sub", "subscriptions/listen", params).await;
    stream.message().await;
    let changed = json!({ "jsonrpc": "2.0", "method": "notifications/tools/list_changed" });
    for params in [json!([]), json!({ "_meta": 1 })] {
        let mut odd = changed.clone();
        odd["params"] = params;
        server.send("notification", odd).await;
    }
    server.send("notification", changed).await;
    assert_eq!(stream.message().await["method"], "notifications/tools/list_changed");
    drop(stream);
    app.finish().await;
}

#[tokio::test]
async fn client_that_is_asked_can_cancel() {
    let app = App::start().await;
    let owner = app.caller(Role::Viewer).await;
    let mut server = TunnelClient::modern(&owner, "mine").await;
    let client = McpClient::new(&owner, server.id).await;
    let (mut stream, first) = tokio::join!(client.post(rpc(1, "tools/call")), async {
        server.request("tools/call").await
    });
    let inputs = json!({ "a": { "method": "elicitation/create", "params": {} } });
    server.answer(&first, json!({ "resultType": "input_required", "inputRequests": inputs })).await;
    assert_eq!(stream.message().await["method"], "elicitation/create");
    let params = json!({ "requestId": 1 });
    let cancel = json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": params });
    assert_eq!(client.post(cancel).await.status, 202);
    assert_eq!(stream.message().await["error"]["message"], "the request was cancelled");
    // A server that requires nothing is not asked again and again.
    let (stream, second) = tokio::join!(client.post(rpc(2, "tools/call")), async {
        server.request("tools/call").await
    });
    server.answer(&second, json!({ "resultType": "input_required", "inputRequests": {} })).await;
    assert_eq!(stream.last().await["error"]["code"], -32603);
    app.finish().await;
}
