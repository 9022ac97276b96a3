//! Clients of the modern era at a server of the modern era.

use entity::user::Role;
use serde_json::json;

use crate::support::{
    App,
    mcp::{modern, modern_request, post},
    tunnel::TunnelClient,
};

#[tokio::test]
async fn headers_must_repeat_the_body() {
    let app = App::start().await;
    let owner = app.caller(Role::Viewer).await;
    let mut server = TunnelClient::modern(&owner, "mine").await;
    let path = format!("/mcp/{}", server.id);
    let call = modern_request(4, "tools/call", json!({ "name": "café", "arguments": {} }));
    let version = ("mcp-protocol-version", "2026-07-28");
    let method = ("mcp-method", "tools/call");
    let mut without_version = call.clone();
    without_version["params"]["_meta"] = json!({});
    let mut without_capabilities = call.clone();
    let meta = without_capabilities["params"]["_meta"].as_object_mut().expect("an object");
    meta.remove("io.modelcontextprotocol/clientCapabilities");
    let mut other_version = call.clone();
    other_version["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] =
        "2027-01-01".into();
    let name = ("mcp-name", "=?base64?Y2Fmw6k=?=");
    for (headers, body, code) in [
        (vec![method, name], &call, -32020),
        (vec![version, name], &call, -32020),
        (vec![version, ("mcp-method", "tools/list"), name], &call, -32020),
        (vec![version, method], &call, -32020),
        (vec![version, method, ("mcp-name", "cafe")], &call, -32020),
        (vec![version, method, ("mcp-name", "=?base64?Y2F!?=")], &call, -32020),
        (vec![version, method, name], &other_version, -32020),
        (vec![("mcp-protocol-version", "2027-01-01"), method, name], &other_version, -32022),
        (vec![version, method, name], &without_version, -32602),
        (vec![version, method, name], &without_capabilities, -32602),
    ] {
        let answer = post(&owner, &path, &headers, body).await;
        assert_eq!(answer.status, 400, "{headers:?}");
        let answer = answer.json().await;
        assert_eq!(
            (&answer["id"], &answer["error"]["code"]),
            (&json!(4), &json!(code)),
            "{headers:?}"
        );
    }
    let headers = [version, method, name];
    let (answer, ()) = tokio::join!(post(&owner, &path, &headers, &call), async {
        // The schemas of the tools say which arguments headers repeat.
        let list = server.request("tools/list").await;
        server.answer(&list, json!({ "tools": [] })).await;
        let call = server.request("tools/call").await;
        server.answer(&call, json!({ "resultType": "complete", "content": [] })).await;
    });
    assert_eq!(answer.json().await["result"]["content"], json!([]));
    app.finish().await;
}

#[tokio::test]
async fn argument_in_a_header_must_be_that_of_the_body() {
    let app = App::start().await;
    let owner = app.caller(Role::Viewer).await;
    let mut server = TunnelClient::modern(&owner, "mine").await;
    let path = format!("/mcp/{}", server.id);
    let region = json!({ "type": "string", "x-mcp-header": "Region" });
    let deep = json!({ "type": "object", "properties": { "size": { "type": "number", "x-mcp-header": "Size" } } });
    let schema = json!({ "type": "object", "properties": { "region": region, "disk": deep } });
    let arguments = json!({ "region": "eu", "disk": { "size": 5 } });
    let call = modern_request(1, "tools/call", json!({ "name": "boot", "arguments": arguments }));
    let common = [
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "tools/call"),
        ("mcp-name", "boot"),
    ];
    let mut is_first = true;
    for (headers, is_right) in [
        (vec![("mcp-param-region", "eu")], false),
        (vec![("mcp-param-region", "us"), ("mcp-param-size", "5")], false),
        (vec![("mcp-param-region", "eu"), ("mcp-param-size", "6")], false),
        (vec![("mcp-param-region", "eu"), ("mcp-param-size", "5"), ("mcp-param-other", "x")], true),
    ] {
        let headers: Vec<_> = common.into_iter().chain(headers).collect();
        let (answer, ()) = tokio::join!(post(&owner, &path, &headers, &call), async {
            if is_first {
                // The list has two pages.
                let page = server.request("tools/list").await;
                server.answer(&page, json!({ "tools": [], "nextCursor": "2" })).await;
                let page = server.request("tools/list").await;
                assert_eq!(page["params"]["cursor"], "2");
                let tool = json!({ "name": "boot", "inputSchema": schema });
                server.answer(&page, json!({ "tools": [tool] })).await;
            }
            if is_right {
                let call = server.request("tools/call").await;
                server.answer(&call, json!({ "resultType": "complete" })).await;
            }
        });
        is_first = false;
        assert_eq!(answer.status.as_u16(), if is_right { 200 } else { 400 }, "{headers:?}");
        assert_eq!(answer.json().await["error"]["code"] == -32020, !is_right);
    }
    app.finish().await;
}

#[tokio::test]
async fn answer_is_json_or_a_stream_with_a_fitting_status() {
    let app = App::start().await;
    let owner = app.caller(Role::Viewer).await;
    let mut server = TunnelClient::modern(&owner, "mine").await;
    let path = format!("/mcp/{}", server.id);
    for (code, status) in [(-32601, 404), (-32602, 200), (-32021, 400)] {
        let (answer, ()) =
            tokio::join!(modern(&owner, &path, 1, "some/method", json!({})), async {
                let request = server.request("some/method").await;
                server.fail(&request, code, "no").await;
            });
        assert_eq!(answer.status, status, "{code}");
        assert_eq!(answer.json().await["error"]["code"], code);
    }
    let params = json!({ "_meta": { "progressToken": "p" } });
    let (mut stream, ()) = tokio::join!(modern(&owner, &path, "x", "some/method", params), async {
        let request = server.request("some/method").await;
        let token = request["params"]["_meta"]["progressToken"].clone();
        let params = json!({ "progressToken": token, "progress": 1 });
        server
            .send(
                "notification",
                json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": params }),
            )
            .await;
        server.answer(&request, json!({ "resultType": "complete" })).await;
    });
    assert!(stream.is_stream());
    let progress = stream.event().await.expect("an event");
    // Without an id, because a client of this era cannot resume.
    assert_eq!((progress.id, &progress.message["params"]["progressToken"]), (None, &json!("p")));
    assert_eq!(stream.message().await["id"], "x");
    // There is no stream without a request, and no session to end.
    let get =
        owner.request(reqwest::Method::GET, &path).header("mcp-protocol-version", "2026-07-28");
    assert_eq!(get.send().await.expect("an answer").status(), 405);
    let notification = json!({ "jsonrpc": "2.0", "method": "notifications/x" });
    let headers = [("mcp-protocol-version", "2026-07-28"), ("mcp-method", "notifications/x")];
    assert_eq!(post(&owner, &path, &headers, &notification).await.status, 202);
    app.finish().await;
}

#[tokio::test]
async fn closing_the_response_cancels_the_request() {
    let app = App::start().await;
    let owner = app.caller(Role::Viewer).await;
    let mut server = TunnelClient::modern(&owner, "mine").await;
    let path = format!("/mcp/{}", server.id);
    // Before the first byte of the response, and after it.
    let waiting = {
        let (owner, path) = (owner.clone(), path.clone());
        tokio::spawn(async move { modern(&owner, &path, 1, "some/method", json!({})).await })
    };
    let request = server.request("some/method").await;
    waiting.abort();
    let cancelled = server.request("notifications/cancelled").await;
    assert_eq!(cancelled["params"]["requestId"], request["id"]);

    let filter = json!({ "notifications": { "toolsListChanged": true } });
    let (mut stream, listen) =
        tokio::join!(modern(&owner, &path, "sub", "subscriptions/listen", filter), async {
            let listen = server.request("subscriptions/listen").await;
            let meta = json!({ "io.modelcontextprotocol/subscriptionId": listen["id"] });
            let acknowledged =
                json!({ "_meta": meta, "notifications": { "toolsListChanged": true } });
            let method = "notifications/subscriptions/acknowledged";
            server
                .send(
                    "notification",
                    json!({ "jsonrpc": "2.0", "method": method, "params": acknowledged }),
                )
                .await;
            listen
        });
    let acknowledged = stream.message().await;
    assert_eq!(acknowledged["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], "sub");
    drop(stream);
    let cancelled = server.request("notifications/cancelled").await;
    assert_eq!(cancelled["params"]["requestId"], listen["id"]);
    app.finish().await;
}

#[tokio::test]
async fn request_fails_in_time_although_its_stream_has_comments() {
    let app = App::with(|config| {
        config.tunnels.request_seconds = 3;
        // Each comment interrupts the wait for the server.
        config.streams.heartbeat_seconds = 1;
    })
    .await;
    let owner = app.caller(Role::Viewer).await;
    let mut server = TunnelClient::modern(&owner, "mine").await;
    let path = format!("/mcp/{}", server.id);
    let (answer, request) =
        tokio::join!(modern(&owner, &path, 1, "x", json!({})), async { server.request("x").await });
    assert!(answer.is_stream());
    let error = answer.last().await;
    assert_eq!(
        error["error"]["message"],
        "the MCP server sent nothing for this request in 3 seconds"
    );
    let cancelled = server.request("notifications/cancelled").await;
    assert_eq!(cancelled["params"]["requestId"], request["id"]);
    app.finish().await;
}

#[tokio::test]
async fn schema_with_very_many_annotations_is_cut() {
    let app = App::start().await;
    let owner = app.caller(Role::Viewer).await;
    let mut server = TunnelClient::modern(&owner, "mine").await;
    let path = format!("/mcp/{}", server.id);
    let many = (0..10_000).map(|number| (format!("p{number}"), json!({ "x-mcp-header": "H" })));
    let inner: serde_json::Map<_, _> = many.collect();
    // A long name above many annotations: its path would be copied for each of them.
    let schema = json!({ "properties": { "k".repeat(1_000_000): { "properties": inner } } });
    let params = json!({ "name": "wide", "arguments": {} });
    let (answer, ()) = tokio::join!(modern(&owner, &path, 1, "tools/call", params), async {
        let list = server.request("tools/list").await;
        let tool = json!({ "name": "wide", "inputSchema": schema });
        server.answer(&list, json!({ "tools": [tool] })).await;
        let call = server.request("tools/call").await;
        server.answer(&call, json!({ "resultType": "complete" })).await;
    });
    assert_eq!(answer.status, 200);
    app.finish().await;
}
