//! Responses before the whole request has arrived, and responses to clients that have finished
//! sending.

use tokio::{io::AsyncWriteExt, time::timeout};

use crate::server::{
    gate::{Event, Gate, SHORT, settings},
    http::{get, h2c, read_to_end, read_until},
};

/// A request whose body is refused. The body is not sent.
fn refused(length: usize) -> String {
    format!("POST /refuse HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n")
}

#[tokio::test]
async fn small_request_body_can_follow_the_response() {
    let gate = Gate::open(settings()).await;
    for sent_before in [0, 10, 100] {
        let mut client = gate.send(refused(100) + &"x".repeat(sent_before)).await;
        let answer = read_until(&mut client, "a body for 413").await;
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
        assert!(!answer.contains("connection:"), "{answer}");
        let rest = "x".repeat(100 - sent_before) + &get("/");
        client.write_all(rest.as_bytes()).await.unwrap();
        read_until(&mut client, "HTTP/1.1 http").await;
    }
}

#[tokio::test]
async fn early_response_announces_that_the_connection_closes() {
    let gate = Gate::open(settings()).await;
    for head in [
        refused(64 * 1024 + 1),
        "POST /refuse HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n".to_owned(),
        "POST /refuse HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 9\r\n\r\n"
            .to_owned(),
    ] {
        let mut client = gate.send(head.clone()).await;
        let answer = String::from_utf8(read_to_end(&mut client).await).unwrap();
        assert!(answer.starts_with("HTTP/1.1 413 "), "{head}: {answer}");
        assert!(answer.contains("\r\nconnection: close\r\n"), "{head}: {answer}");
    }
}

#[tokio::test]
async fn early_response_over_http_2_keeps_the_connection() {
    let gate = Gate::open(settings()).await;
    let client = h2c();
    let answer = client.post(gate.url("/refuse")).body(vec![0; 1 << 20]).send().await.unwrap();
    assert_eq!(answer.status(), 413);
    assert!(!answer.headers().contains_key("connection"));
    assert_eq!(client.get(gate.url("/")).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn request_before_the_fin_is_answered() {
    let mut gate = Gate::open(settings()).await;
    for _ in 0..20 {
        let mut client = gate.send(get("/")).await;
        client.shutdown().await.unwrap();
        let answer = read_to_end(&mut client).await;
        assert!(answer.ends_with(b"HTTP/1.1 http"), "{}", String::from_utf8_lossy(&answer));
    }
    // Two requests at once, of which one takes longer.
    let mut client = gate.send(get("/") + &get("/slow")).await;
    client.shutdown().await.unwrap();
    gate.expect(Event::Requested).await;
    // The server has time to notice the FIN.
    timeout(SHORT, gate.events.recv()).await.expect_err("dropped");
    gate.release.send(true).unwrap();
    let answer = String::from_utf8(read_to_end(&mut client).await).unwrap();
    assert!(answer.contains("HTTP/1.1 http"), "{answer}");
    assert!(answer.ends_with("done"), "{answer}");
}

#[tokio::test]
async fn stream_requested_before_the_fin_is_dropped() {
    let mut gate = Gate::open(settings()).await;
    let mut client = gate.send(get("/endless")).await;
    client.shutdown().await.unwrap();
    gate.expect(Event::Dropped).await;
}

#[tokio::test]
async fn rst_drops_a_request_in_progress() {
    let mut gate = Gate::open(settings()).await;
    for has_finished in [false, true] {
        let mut client = gate.send(get("/slow")).await;
        gate.expect(Event::Requested).await;
        if has_finished {
            client.shutdown().await.unwrap();
        }
        client.set_zero_linger().unwrap();
        drop(client);
        gate.expect(Event::Dropped).await;
    }
}

#[tokio::test]
async fn fin_within_a_head_ends_the_connection() {
    let gate = Gate::open(settings()).await;
    let mut client = gate.send("GET / HTTP/1.1\r\nhost:").await;
    client.shutdown().await.unwrap();
    let answer = read_to_end(&mut client).await;
    assert!(!answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
}
