//! The protocol of a connection: HTTP/1.1, HTTP/2 or an upgrade.

use reqwest::Version;
use tokio::io::AsyncWriteExt;

use crate::server::{
    gate::{Gate, settings},
    http::{h1, h2c, read_to_end, read_until},
};

#[tokio::test]
async fn http_1_1_is_answered() {
    let gate = Gate::open(settings()).await;
    let answer = h1().get(gate.url("/")).send().await.unwrap();
    assert_eq!(answer.version(), Version::HTTP_11);
    assert_eq!(answer.text().await.unwrap(), "HTTP/1.1 http");
}

#[tokio::test]
async fn http_2_with_prior_knowledge_is_answered() {
    let gate = Gate::open(settings()).await;
    let answer = h2c().get(gate.url("/")).send().await.unwrap();
    assert_eq!(answer.version(), Version::HTTP_2);
    assert_eq!(answer.text().await.unwrap(), "HTTP/2.0 http");
}

/// Each head is longer than the bytes that decide the protocol, and begins like the preface of
/// HTTP/2.
#[tokio::test]
async fn pipelined_requests_with_long_heads_are_all_answered() {
    let gate = Gate::open(settings()).await;
    let head = |last: &str| {
        let long = "x".repeat(3000);
        format!("PRI / HTTP/1.1\r\nhost: x\r\nlong: {long}\r\nconnection: {last}\r\n\r\n")
    };
    let mut client = gate.send(head("keep-alive") + &head("close")).await;
    let answers = String::from_utf8(read_to_end(&mut client).await).unwrap();
    assert_eq!(answers.matches("HTTP/1.1 http").count(), 2, "{answers}");
}

#[tokio::test]
async fn upgraded_connection_belongs_to_the_endpoint() {
    let gate = Gate::open(settings()).await;
    let mut client = gate
        .send("GET /upgrade HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n")
        .await;
    let head = read_until(&mut client, "\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    client.write_u8(b'!').await.unwrap();
    assert_eq!(read_to_end(&mut client).await, b"!");
}
