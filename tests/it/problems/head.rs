//! Requests that are refused because of their head.

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{
    App, SseReader, http2,
    raw::{head, problem, raw},
    soon,
};

#[tokio::test]
async fn oversized_head_is_a_problem_on_both_http_versions() {
    let app = App::start().await;
    let long = "x".repeat(app.gateway.config.server.head_limit_bytes);
    let h2 = http2();
    for client in [reqwest::Client::new(), h2] {
        let request = client.get(app.url("/health/live")).header("x-long", &long);
        let answer = soon("response", request.send()).await.expect("a response");
        assert_eq!(answer.status(), 431);
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
        let id = answer.headers()["x-request-id"].to_str().expect("an id").to_owned();
        let problem: Value = soon("body", answer.json()).await.expect("a problem");
        assert_eq!(problem["type"], "https://streamgate.dev/problems/head-too-large");
        assert_eq!(problem["instance"], format!("urn:uuid:{id}"));
    }
    app.finish().await;
}

#[tokio::test]
async fn http_1_head_has_at_most_100_fields() {
    let app = App::start().await;
    // Host and Connection are two of the fields.
    let request = |fields: usize| {
        let fields: Vec<String> = (2..fields).map(|number| format!("x-{number}: y\r\n")).collect();
        let fields = fields.concat();
        let address = app.address;
        format!("GET /health/live HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{fields}\r\n")
    };
    assert_eq!(SseReader::open(app.address, &request(100)).await.status(), 200);
    let refused = raw(&app, request(101).as_bytes()).await;
    let detail = "the head of the request is too large or has more than 100 header fields";
    assert_eq!(problem(refused, 431, "head-too-large"), detail);
    let h2 = http2();
    let many = (0..150).fold(h2.get(app.url("/health/live")), |request, number| {
        request.header(format!("x-{number}"), "y")
    });
    assert_eq!(soon("response", many.send()).await.expect("a response").status(), 200);
    app.finish().await;
}

#[tokio::test]
async fn oversized_target_is_414_in_status_line_and_body() {
    let app = App::with(|config| config.server.head_limit_bytes = 200_000).await;
    let target = format!("/health/live?x={}", "y".repeat(70_000));
    let answer = raw(&app, head("GET", &target, "").as_bytes()).await;
    assert_eq!(problem(answer, 414, "uri-too-long"), "the target of the request is too long");
    app.finish().await;
}

#[tokio::test]
async fn request_without_a_host_is_refused() {
    let app = App::start().await;
    let request = "GET /health/live HTTP/1.1\r\nConnection: close\r\n\r\n";
    let answer = SseReader::open(app.address, request).await;
    assert_eq!(answer.status(), 400);
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    app.finish().await;
}

/// Sends a request with these header lines and a chunked body, and a second request after it.
async fn encoded(app: &App, lines: &str) -> String {
    let mut socket = TcpStream::connect(app.address).await.expect("a connection");
    let login = r#"{"username":"a","password":"b"}"#;
    let request = format!(
        "POST /v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{lines}\r\n\
         {:x}\r\n{login}\r\n0\r\n\r\nGET /health/live HTTP/1.1\r\nHost: x\r\n\r\n",
        login.len()
    );
    socket.write_all(request.as_bytes()).await.expect("a request");
    socket.shutdown().await.expect("an end");
    let mut answer = Vec::new();
    soon("end", socket.read_to_end(&mut answer)).await.expect("a response");
    String::from_utf8(answer).expect("UTF-8")
}

#[tokio::test]
async fn transfer_codings_other_than_chunked_are_refused() {
    let app = App::start().await;
    for (lines, status) in [
        ("Transfer-Encoding: gzip, chunked\r\n", "501"),
        ("Transfer-Encoding: identity, chunked\r\n", "501"),
        ("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", "501"),
        ("Transfer-Encoding: chunked, chunked\r\n", "400"),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "400"),
        ("Transfer-Encoding: gzip\r\n", "400"),
    ] {
        let answer = encoded(&app, lines).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{lines}: {answer}");
        assert!(answer.contains("application/problem+json"), "{lines}: {answer}");
        assert!(answer.contains("connection: close"), "{lines}: {answer}");
        // The start of the next request is unknown, so it must not be answered.
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{lines}: {answer}");
    }
    let answer = encoded(&app, "Transfer-Encoding: Chunked\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    assert!(answer.ends_with("{\"status\":\"up\"}"), "{answer}");
    app.finish().await;
}

/// RFC 9112, section 6.3: the length is ignored, and the connection ends.
#[tokio::test]
async fn content_length_with_chunked_smuggles_no_request() {
    let app = App::start().await;
    for lines in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
    ] {
        let answer = encoded(&app, lines).await;
        assert!(answer.starts_with("HTTP/1.1 401 "), "{lines}: {answer}");
        assert!(answer.contains("connection: close"), "{lines}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{lines}: {answer}");
    }
    app.finish().await;
}
