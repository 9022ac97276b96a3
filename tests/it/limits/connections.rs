//! What somebody with bad intentions tries.

use entity::user::Role;
use reqwest::Method;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::app::{App, Caller, soon, until};

/// What `serde_json` takes for its own when another crate turns a feature of it on.
const RAW: &str = "$serde_json::private::RawValue";

/// JSON in a string in JSON, nested deeper each time than any one parser would go.
fn bomb() -> String {
    let mut text = "1".to_owned();
    for _ in 0..8 {
        text = format!("{}{text}{}", "[".repeat(120), "]".repeat(120));
        text = json!({ RAW: text }).to_string();
    }
    text
}

/// Posts a text as it is.
async fn post(app: &App, caller: &Caller, path: &str, body: &str) -> u16 {
    let token = caller.token.clone().unwrap_or_default();
    let answer = reqwest::Client::new()
        .post(app.url(path))
        .bearer_auth(token)
        .header("content-type", "application/json")
        .body(body.to_owned())
        .send();
    soon("answer", answer).await.expect("an answer").status().as_u16()
}

#[tokio::test]
async fn a_body_that_hides_json_in_json_is_refused_before_it_is_parsed() {
    let app = App::start().await;
    let operator = app.caller(Role::Operator).await;
    let topology = app.active_topology(&operator).await;
    let bomb = bomb();
    let login = format!("{{\"username\":\"a\",\"password\":\"x\",\"z\":{bomb}}}");
    assert_eq!(post(&app, &app.anyone(), "/v1/auth/login", &login).await, 400);
    let path = format!("/v1/topologies/{topology}/mutations");
    for key in [RAW, "\\u0024serde_json::private::RawValue", "$serde_json::private::Number"] {
        let payload = format!("{{\"op\":\"add_lan\",\"payload\":{{\"b\":1,\"{key}\":\"x\"}}}}");
        assert_eq!(post(&app, &operator, &path, &payload).await, 400, "{key}");
    }
    // An ordinary string with such a text in it is nobody's key.
    let payload = json!({ "op": "add_lan", "payload": { "a": RAW } });
    operator.post(&path, payload).await.ok();
    operator.get(&format!("/v1/topologies/{topology}/events")).await.ok();
    app.finish().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_keeps_no_slot_beyond_its_session() {
    let app = App::with(|config| {
        config.limits.streams_per_user = 1;
        // Longer than this test: the client here does not even answer PINGs.
        config.server.header_timeout_seconds = 60;
    })
    .await;
    let viewer = app.caller(Role::Viewer).await;
    let operator = app.caller(Role::Operator).await;
    let topology = app.active_topology(&operator).await;
    let token = viewer.token.clone().expect("a token");
    // HTTP/2 with a window of nothing: not a byte of the body can be sent, and the client answers.
    let mut socket = TcpStream::connect(app.address).await.expect("a connection");
    let mut hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    hello.extend([0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0]);
    hello.extend(headers(&app, &format!("/v1/topologies/{topology}/stream"), &token));
    socket.write_all(&hello).await.expect("a request");
    until("slot taken", async || app.gateway.limits.open_slots() == 1).await;
    let me = viewer.get("/v1/auth/me").await.ok();
    let path = format!("/v1/users/{}/revoke", me["id"].as_str().expect("an id"));
    app.log_in("admin").await.call(Method::POST, &path, None).await.ok();
    until("slot freed", async || app.gateway.limits.open_slots() == 0).await;
    let mut rest = [0; 16];
    assert_ne!(soon("frame", socket.read(&mut rest)).await.expect("bytes"), 0, "still connected");
    drop(socket);
    app.finish().await;
}

/// A HEADERS frame (RFC 9113, section 6.2) of a GET, its fields as literals (RFC 7541, section
/// 6.2.2).
fn headers(app: &App, path: &str, token: &str) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in [
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", &*app.address.to_string()),
        (":path", path),
        ("authorization", &*format!("Bearer {token}")),
    ] {
        block.push(0);
        for text in [name, value] {
            // An integer with a prefix of 7 bits (RFC 7541, section 5.1).
            let mut length = text.len();
            if length < 127 {
                block.push(u8::try_from(length).expect("7 bits"));
            } else {
                block.push(127);
                length -= 127;
                while length >= 128 {
                    block.push(u8::try_from(length % 128).expect("7 bits") | 128);
                    length /= 128;
                }
                block.push(u8::try_from(length).expect("7 bits"));
            }
            block.extend(text.as_bytes());
        }
    }
    let length = u32::try_from(block.len()).expect("a small frame").to_be_bytes();
    let mut frame = length[1..].to_vec();
    // HEADERS, END_STREAM and END_HEADERS, stream 1.
    frame.extend([1, 5, 0, 0, 0, 1]);
    frame.extend(block);
    frame
}

#[tokio::test]
async fn nothing_is_read_from_whom_nobody_knows() {
    let app = App::start().await;
    let viewer = app.caller(Role::Viewer).await;
    for (path, token, status) in [
        ("/nothing-here", viewer.token.as_deref(), " 404 "),
        ("/v1/topologies", None, " 401 "),
        ("/v1/topologies", Some("eyJhbGciOiJFZERTQSJ9.e30.AAAA"), " 401 "),
        ("/v1/auth/login", None, " 413 "),
    ] {
        let mut socket = TcpStream::connect(app.address).await.expect("a connection");
        let credential = token.map(|token| format!("Authorization: Bearer {token}\r\n"));
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\n{}Content-Type: application/json\r\n\
             Content-Length: 900000\r\n\r\n{{",
            credential.unwrap_or_default()
        );
        socket.write_all(head.as_bytes()).await.expect("a request");
        // Answered although the body never comes.
        let mut line = [0; 13];
        soon("answer", socket.read_exact(&mut line)).await.expect("a status line");
        assert!(String::from_utf8_lossy(&line).contains(status), "{path}: {line:?}");
    }
    app.finish().await;
}

#[tokio::test]
async fn a_page_of_large_things_is_short_and_says_that_there_is_more() {
    let app = App::start().await;
    let operator = app.caller(Role::Operator).await;
    let config = json!({ "pad": "x".repeat(16_000) });
    for number in 0..70 {
        let new = json!({ "name": format!("large-{number}"), "config": config });
        operator.post("/v1/topologies", new).await.ok();
    }
    let mut names = Vec::new();
    let mut path = "/v1/topologies?limit=200".to_owned();
    loop {
        let page = operator.get(&path).await.ok();
        let items = page["items"].as_array().expect("items").clone();
        assert!(items.len() <= 65, "{}", items.len());
        names.extend(items.iter().map(|item| item["name"].as_str().expect("a name").to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/topologies?limit=200&after={next}");
    }
    let expected: Vec<String> = (0..70).map(|number| format!("large-{number}")).collect();
    assert_eq!(names, expected);
    let too_large = json!({ "name": "l", "config": { "pad": "x".repeat(16_384) } });
    let detail = operator.post("/v1/topologies", too_large).await.problem(400);
    assert!(detail.contains("16384"), "{detail}");
    app.finish().await;
}

/// Asks on a connection of its own, which stays open. The status, unless it is closed at once.
async fn ask(app: &App, token: Option<&str>) -> Option<(TcpStream, String)> {
    let mut socket = TcpStream::connect(app.address).await.expect("a connection");
    let credential = token.map(|token| format!("Authorization: Bearer {token}\r\n"));
    let head =
        format!("GET /v1/auth/me HTTP/1.1\r\nHost: x\r\n{}\r\n", credential.unwrap_or_default());
    // An error says the same as the end.
    let _ = socket.write_all(head.as_bytes()).await;
    let mut line = [0; 12];
    soon("answer", socket.read_exact(&mut line)).await.ok()?;
    Some((socket, String::from_utf8_lossy(&line[9..]).into_owned()))
}

#[tokio::test]
async fn connections_of_users_do_not_count_for_their_address() {
    let app = App::with(|config| {
        config.limits.connections_per_address = 2;
        config.limits.exempt_networks = Vec::new();
    })
    .await;
    let viewer = app.caller(Role::Viewer).await;
    let token = viewer.token.as_deref().expect("a token");
    // The connection that logged in.
    viewer.get("/v1/auth/me").await.ok();
    let mut open = Vec::new();
    for _ in 0..5 {
        let (socket, status) = ask(&app, Some(token)).await.expect("an answer");
        assert_eq!(status, "200");
        open.push(socket);
    }
    for _ in 0..2 {
        let (socket, status) = ask(&app, None).await.expect("an answer");
        assert_eq!(status, "401");
        open.push(socket);
    }
    assert!(ask(&app, None).await.is_none(), "one too many");
    // A user on a connection that is one too many is refused as well: nobody knows yet.
    assert!(ask(&app, Some(token)).await.is_none(), "one too many");
    open.pop();
    until("place", async || ask(&app, Some(token)).await.is_some()).await;
    app.finish().await;
}

#[tokio::test]
async fn a_stream_is_a_connection_until_it_ends() {
    let app = App::with(|config| config.limits.connections = 3).await;
    let operator = app.caller(Role::Operator).await;
    let topology = app.active_topology(&operator).await;
    let mut streams = Vec::new();
    for _ in 0..2 {
        let mut stream = operator.watch(topology, "").await;
        stream.expect("snapshot").await;
        streams.push(stream);
    }
    assert!(ask(&app, None).await.is_none(), "one too many");
    streams.pop();
    until("place", async || ask(&app, None).await.is_some()).await;
    drop(streams);
    app.finish().await;
}
