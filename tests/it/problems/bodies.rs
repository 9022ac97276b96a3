//! Request bodies that are refused: type, syntax, size and time.

use entity::user::Role;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{
    App, Caller, PASSWORD,
    issuer::{Key, TestIssuer},
    raw::{head, problem, raw},
    soon,
};

/// A login request with these header lines and this body.
pub fn login(lines: &str, body: &str) -> String {
    head("POST", "/v1/auth/login", &format!("Content-Type: application/json\r\n{lines}")) + body
}

#[tokio::test]
async fn body_of_another_media_type_is_415() {
    let app = App::start().await;
    let body = json!({ "username": "admin", "password": PASSWORD }).to_string();
    let length = format!("Content-Length: {}\r\n", body.len());
    let post = async |content_type: &str| {
        let head = head("POST", "/v1/auth/login", &format!("{content_type}{length}"));
        raw(&app, (head + &body).as_bytes()).await
    };
    for content_type in [
        "Content-Type: text/plain\r\n",
        "Content-Type: application/x-www-form-urlencoded\r\n",
        "Content-Type: application/jsonp\r\n",
        "Content-Type: nonsense\r\n",
        "",
    ] {
        let detail = problem(post(content_type).await, 415, "unsupported-media-type");
        assert!(detail.contains("Content-Type must name a media type"), "{detail}");
    }
    for content_type in [
        "Content-Type: application/json\r\n",
        "Content-Type: application/json; charset=utf-8\r\n",
        "Content-Type: Application/JSON;charset=UTF-8\r\n",
    ] {
        assert_eq!(post(content_type).await.status, 200, "{content_type}");
    }
    app.finish().await;
}

#[tokio::test]
async fn malformed_body_is_400() {
    let app = App::start().await;
    for body in [
        "",
        "{",
        "null",
        "[]",
        "\"text\"",
        "{\"username\": \"admin\"}",
        "{\"username\": {}, \"password\": \"p\"}",
        "{\"username\": null, \"password\": \"p\"}",
        "{\"username\": \"admin\", \"password\": [\"p\"]}",
        "{\"username\": \"admin\", \"password\": \"p\"} trailing",
        "{\"username\": \"\\ud800\", \"password\": \"p\"}",
        &"[".repeat(8_000),
    ] {
        let lines = format!("Content-Length: {}\r\n", body.len());
        let answer = raw(&app, login(&lines, body).as_bytes()).await;
        assert_eq!(answer.status, 400, "{body:.60}: {answer:?}");
        problem(answer, 400, "bad-request");
    }
    let not_utf8 = [login("Content-Length: 3\r\n", "").as_bytes(), b"\"\xff\""].concat();
    problem(raw(&app, &not_utf8).await, 400, "bad-request");
    app.finish().await;
}

#[tokio::test]
async fn oversized_body_is_413_with_and_without_a_length() {
    let app = App::with(|config| config.server.body_limit_bytes = 1_024).await;
    // The body has exactly the largest allowed size.
    let fits = json!({ "username": "admin", "password": PASSWORD }).to_string();
    let fits = format!("{fits:1024}");
    let lines = "Content-Length: 1024\r\n";
    assert_eq!(raw(&app, login(lines, &fits).as_bytes()).await.status, 200);
    let chunked = "Transfer-Encoding: chunked\r\n";
    let body = format!("400\r\n{fits}\r\n0\r\n\r\n");
    assert_eq!(raw(&app, login(chunked, &body).as_bytes()).await.status, 200);

    let body = format!("400\r\n{fits}\r\n1\r\n \r\n0\r\n\r\n");
    for (lines, body) in [
        ("Content-Length: 1025\r\n", format!("{fits} ")),
        // Refused before the body is sent.
        ("Content-Length: 999999999999\r\n", String::new()),
        (chunked, body),
        // A chunk that is only announced.
        (chunked, format!("400\r\n{fits}\r\n1\r\n ")),
    ] {
        let answer = raw(&app, login(lines, &body).as_bytes()).await;
        let detail = problem(answer, 413, "payload-too-large");
        assert_eq!(detail, "the body is larger than 1024 bytes");
    }
    app.finish().await;
}

#[tokio::test]
async fn body_that_arrives_too_late_is_408() {
    let app = App::with(|config| config.server.body_timeout_seconds = 1).await;
    for (lines, body) in [
        ("Content-Length: 100\r\n", "{"),
        ("Content-Length: 100\r\n", ""),
        ("Transfer-Encoding: chunked\r\n", "1\r\n{\r\n"),
    ] {
        let answer = raw(&app, login(lines, body).as_bytes()).await;
        let detail = problem(answer, 408, "request-timeout");
        assert_eq!(detail, "the body did not arrive in time");
    }
    app.finish().await;
}

#[tokio::test]
async fn gateway_refuses_a_request_before_it_reads_the_body() {
    let issuer = TestIssuer::start().await;
    let app = issuer.app(json!({})).await;
    let viewer = app.caller(Role::Viewer).await.token.expect("a token");
    let forged = "eyJhbGciOiJFZERTQSJ9.e30.AAAA";
    let claims = issuer.claims("ada");
    let external = jsonwebtoken::encode(&issuer.header(), &claims, &Key::new().signs);
    let external = external.expect("a token");
    let bearer = |token: &str| format!("Authorization: Bearer {token}\r\n");
    let cookie = format!("Origin: http://x\r\nCookie: streamgate={forged}\r\n");
    for (path, credential, status) in [
        ("/nothing-here", bearer(&viewer), " 404 "),
        ("/v1/topologies", String::new(), " 401 "),
        ("/v1/topologies", bearer(forged), " 401 "),
        ("/v1/topologies", bearer(&external), " 401 "),
        ("/v1/topologies", cookie, " 401 "),
        ("/v1/auth/login", String::new(), " 413 "),
    ] {
        let mut socket = TcpStream::connect(app.address).await.expect("a connection");
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\n{credential}Content-Type: application/json\r\n\
             Content-Length: 900000\r\n\r\n{{"
        );
        socket.write_all(head.as_bytes()).await.expect("a request");
        // The response arrives, although the body is never sent.
        let mut line = [0; 13];
        soon("response", socket.read_exact(&mut line)).await.expect("a status line");
        assert!(String::from_utf8_lossy(&line).contains(status), "{path}: {line:?}");
    }
    app.finish().await;
}

/// A key that `serde_json` treats as its own if another crate enables its feature.
const RAW: &str = "$serde_json::private::RawValue";

/// JSON in a string in JSON. All levels together are nested deeper than any parser accepts.
fn bomb() -> String {
    let mut text = "1".to_owned();
    for _ in 0..8 {
        text = format!("{}{text}{}", "[".repeat(120), "]".repeat(120));
        text = json!({ RAW: text }).to_string();
    }
    text
}

/// Posts a text unchanged.
async fn post(app: &App, caller: &Caller, path: &str, body: &str) -> u16 {
    let token = caller.token.clone().unwrap_or_default();
    let answer = reqwest::Client::new()
        .post(app.url(path))
        .bearer_auth(token)
        .header("content-type", "application/json")
        .body(body.to_owned())
        .send();
    soon("response", answer).await.expect("a response").status().as_u16()
}

#[tokio::test]
async fn body_with_serde_json_private_keys_is_refused() {
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
    // As a value, the text is an ordinary string.
    let payload = json!({ "op": "add_lan", "payload": { "a": RAW } });
    operator.post(&path, payload).await.ok();
    operator.get(&format!("/v1/topologies/{topology}/events")).await.ok();
    app.finish().await;
}
