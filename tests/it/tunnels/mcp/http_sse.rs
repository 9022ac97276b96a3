//! Old clients, which speak HTTP+SSE.

use entity::user::Role;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{
    App, Caller,
    sse::SseReader,
    tunnel::{TunnelClient, rpc, share},
    until,
};

/// Opens the stream of a client. Returns it and the path for messages.
async fn open(caller: &Caller, path: &str) -> (SseReader, String) {
    let mut stream = caller.stream(&format!("{path}/sse"), "").await;
    assert_eq!((stream.status(), stream.header("content-type")), (200, Some("text/event-stream")));
    assert_eq!(stream.next_line().await, "event: endpoint\n");
    let line = stream.next_line().await;
    assert_eq!(stream.next_line().await, "\n");
    let path = line.strip_prefix("data: ").expect("data").trim_end().to_owned();
    (stream, path)
}

async fn message(stream: &mut SseReader) -> Value {
    let block = stream.expect("message").await;
    // A stream that cannot be resumed must not seem to.
    assert_eq!(block.id, None);
    block.data
}

fn initialize() -> Value {
    let client = json!({ "name": "old", "version": "1" });
    let capabilities = json!({ "elicitation": {} });
    let params = json!({
        "protocolVersion": "2024-11-05", "capabilities": capabilities, "clientInfo": client,
    });
    json!({ "jsonrpc": "2.0", "id": "first", "method": "initialize", "params": params })
}

#[tokio::test]
async fn old_client_gets_every_message_on_its_stream() {
    let app = App::start().await;
    let owner = app.caller(Role::Viewer).await;
    let username = owner.me().await["username"].as_str().expect("a name").to_owned();
    let mut server = TunnelClient::legacy(&owner, "mine").await;
    for path in [format!("/mcp/{}", server.id), format!("/mcp/@{username}/mine")] {
        let (mut stream, messages) = open(&owner, &path).await;
        assert!(messages.starts_with(&format!("{path}/messages?session_id=")), "{messages}");
        let early = owner.post(&messages, rpc(1, "tools/list")).await;
        assert_eq!((early.status.as_u16(), &early.body["error"]["code"]), (400, &json!(-32600)));
        assert_eq!(owner.post(&messages, initialize()).await.status, 202);
        let initialized = message(&mut stream).await;
        assert_eq!(initialized["id"], "first");
        assert_eq!(initialized["result"]["protocolVersion"], "2024-11-05");
        let notification = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
        assert_eq!(owner.post(&messages, notification).await.status, 202);
        let again = owner.post(&messages, initialize()).await;
        assert_eq!((again.status.as_u16(), &again.body["error"]["code"]), (400, &json!(-32600)));
        assert_eq!(owner.post(&messages, rpc(2, "ping")).await.status, 202);
        assert_eq!(message(&mut stream).await, json!({ "jsonrpc": "2.0", "id": 2, "result": {} }));
        // A call with progress and a question, as they come.
        let meta = json!({ "progressToken": "mine" });
        let call = json!({ "name": "ask", "arguments": {}, "_meta": meta });
        let call = json!({ "jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": call });
        assert_eq!(owner.post(&messages, call).await.status, 202);
        let called = server.request("tools/call").await;
        let token = &called["params"]["_meta"]["progressToken"];
        let progress = json!({ "progressToken": token, "progress": 1 });
        let progress =
            json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": progress });
        server.send("notification", progress).await;
        assert_eq!(message(&mut stream).await["params"]["progressToken"], "mine");
        let question =
            json!({ "jsonrpc": "2.0", "id": 0, "method": "elicitation/create", "params": {} });
        server.send("response", question).await;
        let asked = message(&mut stream).await;
        assert_eq!(asked["method"], "elicitation/create");
        let answer =
            json!({ "jsonrpc": "2.0", "id": asked["id"], "result": { "action": "accept" } });
        assert_eq!(owner.post(&messages, answer).await.status, 202);
        assert_eq!(server.response().await["id"], 0);
        server.answer(&called, json!({ "content": [] })).await;
        let answered = message(&mut stream).await;
        assert_eq!((&answered["id"], &answered["result"]["content"]), (&json!(3), &json!([])));
        // A message that belongs to no request.
        let changed = json!({ "jsonrpc": "2.0", "method": "notifications/tools/list_changed" });
        server.send("notification", changed.clone()).await;
        assert_eq!(message(&mut stream).await, changed);
        // The session is a resource like others, and ends with the stream.
        let sessions = owner.get("/v1/mcp-sessions?limit=200").await.ok();
        let open: Vec<_> = sessions["items"].as_array().expect("items").iter().collect();
        let open = open.into_iter().find(|session| session["status"] == "open").expect("a session");
        let session = format!("/v1/mcp-sessions/{}", open["id"].as_str().expect("an id"));
        drop(stream);
        until("end", async || owner.get(&session).await.ok()["status"] == "closed").await;
        assert_eq!(owner.post(&messages, rpc(4, "ping")).await.status, 404);
    }
    app.finish().await;
}

#[tokio::test]
async fn stream_of_an_old_client_belongs_to_user_and_tunnel() {
    let app = App::start().await;
    let owner = app.caller(Role::Viewer).await;
    let user = app.caller(Role::Viewer).await;
    let server = TunnelClient::legacy(&owner, "mine").await;
    let other = TunnelClient::legacy(&owner, "other").await;
    let path = format!("/mcp/{}", server.id);
    user.get(&format!("{path}/sse")).await.problem(404);
    share(&owner, server.id, &user, "call").await;
    let (stream, messages) = open(&owner, &path).await;
    let elsewhere = messages.replace(&server.id.to_string(), &other.id.to_string());
    for (caller, path) in [(&user, &messages), (&owner, &elsewhere)] {
        let answer = caller.post(path, initialize()).await;
        assert_eq!((answer.status.as_u16(), &answer.body["error"]["code"]), (404, &json!(-32001)));
    }
    let wrong = owner.request(Method::POST, &messages).header("content-type", "application/json");
    let wrong = Caller::answer(wrong.body("{")).await;
    assert_eq!((wrong.status.as_u16(), &wrong.body["error"]["code"]), (400, &json!(-32700)));
    owner.post(&format!("{path}/messages"), initialize()).await.problem(400);
    let of_a_page = owner.request(Method::GET, &format!("{path}/sse"));
    Caller::answer(of_a_page.header("origin", "https://evil.example.com")).await.problem(403);
    owner.get(&format!("/mcp/{}/sse", uuid::Uuid::now_v7())).await.problem(404);
    drop(stream);
    app.finish().await;
}

#[tokio::test]
async fn session_that_ends_ends_the_stream_of_its_old_client() {
    let app = App::with(|config| {
        config.server.public_url = Some("https://example.com/gate".parse().expect("a URL"));
    })
    .await;
    let owner = app.caller(Role::Viewer).await;
    let server = TunnelClient::legacy(&owner, "mine").await;
    let path = format!("/mcp/{}", server.id);
    let (mut stream, messages) = open(&owner, &path).await;
    // The path is that of the proxy in front of the gateway.
    let messages = messages.strip_prefix("/gate").expect("the prefix").to_owned();
    owner.post(&messages, initialize()).await;
    message(&mut stream).await;
    let sessions = owner.get("/v1/mcp-sessions").await.ok();
    let session =
        format!("/v1/mcp-sessions/{}", sessions["items"][0]["id"].as_str().expect("an id"));
    assert_eq!(owner.call(Method::DELETE, &session, None).await.status, 204);
    stream.expect_end().await;
    assert_eq!(owner.post(&messages, rpc(1, "ping")).await.status, 404);
    server.leave(&owner).await;
    let away = owner.get(&format!("{path}/sse")).await;
    assert!(away.headers.contains_key("retry-after"));
    away.problem(503);
    app.finish().await;
}
