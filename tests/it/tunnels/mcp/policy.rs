//! The permissions of the users that a tunnel is shared with.

use entity::user::Role;
use serde_json::{Value, json};

use crate::support::{
    App,
    mcp::{McpClient, modern},
    tunnel::{TunnelClient, initialized, set_policy, share},
};

/// Answers the requests of an MCP server with three tools. Returns the methods that it got.
async fn serve(mut client: TunnelClient) -> Vec<String> {
    let mut methods = Vec::new();
    while let Some(request) = client.next_request().await {
        let method = request["method"].as_str().unwrap_or_default().to_owned();
        if !request["id"].is_null() {
            let tools = ["read_file", "read_secrets", "write_file"]
                .map(|name| json!({ "name": name, "inputSchema": { "type": "object" } }));
            let result = match method.as_str() {
                "tools/list" => json!({ "resultType": "complete", "tools": tools }),
                _ => json!({ "resultType": "complete", "content": [] }),
            };
            client.answer(&request, result).await;
        }
        methods.push(method);
    }
    methods
}

fn tool_names(answer: &Value) -> Vec<&str> {
    let tools = answer["result"]["tools"].as_array().expect("tools").iter();
    tools.map(|tool| tool["name"].as_str().expect("a name")).collect()
}

#[tokio::test]
async fn role_list_sees_what_the_server_has_and_calls_nothing() {
    let app = App::start().await;
    let owner = app.caller(Role::Viewer).await;
    let user = app.caller(Role::Viewer).await;
    for is_legacy in [true, false] {
        let name = if is_legacy { "legacy" } else { "modern" };
        let server = if is_legacy {
            TunnelClient::legacy(&owner, name).await
        } else {
            TunnelClient::modern(&owner, name).await
        };
        let tunnel = server.id;
        let path = format!("/mcp/{tunnel}");
        let server = tokio::spawn(serve(server));
        user.post(&path, json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" })).await.problem(404);
        share(&owner, tunnel, &user, "list").await;
        let client = McpClient::new(&user, tunnel).await;
        assert_eq!(tool_names(&client.call(1, "tools/list", json!({})).await).len(), 3);
        let call = json!({ "name": "read_file", "arguments": {} });
        let refused = client.call(2, "tools/call", call.clone()).await;
        assert_eq!(refused["error"]["code"], -32601, "{refused}");
        // A notification that is not allowed is dropped.
        let changed = json!({ "jsonrpc": "2.0", "method": "notifications/roots/list_changed" });
        assert_eq!(client.post(&changed).await.status, 202);
        let listed = modern(&user, &path, 1, "tools/list", json!({})).await.last().await;
        assert_eq!(tool_names(&listed).len(), 3);
        let refused = modern(&user, &path, 2, "tools/call", call.clone()).await;
        assert_eq!(refused.status, 404);
        assert_eq!(refused.json().await["error"]["code"], -32601);
        let filter = json!({ "toolsListChanged": true, "resourceSubscriptions": ["file:///a"] });
        let wanted = json!({ "notifications": filter });
        if is_legacy {
            let mut stream = modern(&user, &path, 3, "subscriptions/listen", wanted).await;
            let acknowledged = stream.message().await;
            let honored = &acknowledged["params"]["notifications"];
            assert_eq!(honored, &json!({ "toolsListChanged": true }));
        }
        // The role applies to the next request, also of a session that is open.
        share(&owner, tunnel, &user, "call").await;
        let called = client.call(3, "tools/call", call.clone()).await;
        assert_eq!(called["result"]["content"], json!([]), "{called}");
        let called = modern(&user, &path, 4, "tools/call", call).await.last().await;
        assert_eq!(called["result"]["content"], json!([]), "{called}");
        app.gateway
            .tunnels
            .find(tunnel)
            .expect("a connection")
            .close(streamgate::tunnel::Disconnect::Client);
        let methods = server.await.expect("no panic");
        assert!(!methods.iter().any(|method| method == "notifications/roots/list_changed"));
        assert!(!methods.iter().any(|method| method == "resources/subscribe"), "{methods:?}");
        assert_eq!(methods.iter().filter(|method| *method == "tools/call").count(), 2);
    }
    app.finish().await;
}

#[tokio::test]
async fn policy_limits_methods_and_tools_of_everybody_but_the_owner() {
    let app = App::start().await;
    let owner = app.caller(Role::Viewer).await;
    let user = app.caller(Role::Viewer).await;
    let server = TunnelClient::legacy(&owner, "mine").await;
    let (tunnel, path) = (server.id, format!("/mcp/{}", server.id));
    let server = tokio::spawn(serve(server));
    share(&owner, tunnel, &user, "call").await;
    let policy = json!({
        "methods": { "deny": ["logging/*"] },
        "tools": { "allow": ["read_*"], "deny": ["read_secrets"] },
    });
    set_policy(&owner, tunnel, policy).await;
    for (caller, tools) in [(&user, 1), (&owner, 3)] {
        let is_owner = tools == 3;
        let client = McpClient::new(caller, tunnel).await;
        let listed = client.call(1, "tools/list", json!({})).await;
        assert_eq!(tool_names(&listed).len(), tools);
        let of_modern = modern(caller, &path, 1, "tools/list", json!({})).await.last().await;
        assert_eq!(tool_names(&of_modern), tool_names(&listed));
        for (tool, is_allowed) in
            [("read_file", true), ("read_secrets", is_owner), ("write_file", is_owner)]
        {
            let call = json!({ "name": tool, "arguments": {} });
            for answer in [
                client.call(2, "tools/call", call.clone()).await,
                modern(caller, &path, 2, "tools/call", call.clone()).await.last().await,
            ] {
                assert_eq!(answer["result"].is_object(), is_allowed, "{tool}: {answer}");
                assert!(is_allowed || answer["error"]["code"] == -32602, "{answer}");
            }
        }
        let level = client.call(3, "logging/setLevel", json!({ "level": "debug" })).await;
        assert_eq!(level["result"].is_object(), is_owner, "{level}");
        // A client does not ask for what the server seems not to have.
        let found = modern(caller, &path, 4, "server/discover", json!({})).await.last().await;
        let capabilities = found["result"]["capabilities"].as_object().expect("an object");
        assert_eq!(capabilities.contains_key("logging"), is_owner);
        assert!(capabilities.contains_key("tools"));
        let initialize = json!({ "jsonrpc": "2.0", "id": 5, "method": "initialize", "params": {} });
        let answer = crate::support::mcp::post(caller, &path, &[], &initialize).await.last().await;
        let capabilities = &answer["result"]["capabilities"];
        assert_eq!(capabilities.get("logging").is_some(), is_owner);
        assert_eq!(initialized()["capabilities"] == *capabilities, is_owner);
    }
    // A call without the name of a tool could be any tool.
    let client = McpClient::new(&user, tunnel).await;
    let nameless = client.call(6, "tools/call", json!({ "name": ["read_file"] })).await;
    assert_eq!(nameless["error"]["code"], -32602, "{nameless}");
    server.abort();
    app.finish().await;
}
