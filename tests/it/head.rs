//! What is refused for its head alone.

use serde_json::Value;

use crate::app::{App, SseReader, soon};

#[tokio::test]
async fn a_head_over_the_limit_is_a_problem_on_both_versions_of_http() {
    let app = App::start().await;
    let long = "x".repeat(app.gateway.config.server.head_limit_bytes);
    let h2 = reqwest::Client::builder().http2_prior_knowledge().build().expect("a client");
    for client in [reqwest::Client::new(), h2] {
        let request = client.get(app.url("/health/live")).header("x-long", &long);
        let answer = soon("answer", request.send()).await.expect("an answer");
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
async fn a_request_without_a_host_is_refused() {
    let app = App::start().await;
    let request = "GET /health/live HTTP/1.1\r\nConnection: close\r\n\r\n";
    let answer = SseReader::open(app.address, request).await;
    assert_eq!(answer.status(), 400);
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    app.finish().await;
}
