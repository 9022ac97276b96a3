//! The server notices at once that a client disconnects during a response.

use tokio::io::AsyncWriteExt;

use crate::server::{
    gate::{BOUND, Event, Gate, secure, settings},
    http::{PREFACE, SETTINGS, ask, get, h2c, read_until, read_until_bytes},
};

#[tokio::test]
async fn fin_of_the_client_drops_the_body_at_once() {
    let mut gate = Gate::open(settings()).await;
    let mut client = gate.send(get("/endless")).await;
    read_until(&mut client, "data: 1\n\n\r\n").await;
    client.shutdown().await.unwrap();
    gate.expect(Event::Dropped).await;
}

#[tokio::test]
async fn rst_of_the_client_drops_the_body_at_once() {
    let mut gate = Gate::open(settings()).await;
    let mut client = gate.send(get("/endless")).await;
    read_until(&mut client, "data: 1\n\n\r\n").await;
    client.set_zero_linger().unwrap();
    drop(client);
    gate.expect(Event::Dropped).await;
}

#[tokio::test]
async fn fin_behind_a_pipelined_request_drops_the_body_at_once() {
    let mut gate = Gate::open(settings()).await;
    let mut client = gate.send(get("/endless") + &get("/")).await;
    read_until(&mut client, "data: 1\n\n\r\n").await;
    client.shutdown().await.unwrap();
    gate.expect(Event::Dropped).await;
}

#[tokio::test]
async fn fin_behind_an_unread_request_drops_the_body_at_once() {
    let mut gate = Gate::open(settings()).await;
    let mut client =
        gate.send("POST /unread HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nhalf").await;
    read_until(&mut client, "data: 1\n\n\r\n").await;
    client.shutdown().await.unwrap();
    gate.expect(Event::Dropped).await;
}

#[tokio::test]
async fn fin_over_tls_drops_the_body_at_once() {
    let (mut gate, files) = secure(BOUND).await;
    let pem = std::fs::read(files.path().join("cert.pem")).unwrap();
    let client = reqwest::Client::builder()
        .http1_only()
        .timeout(BOUND)
        .tls_certs_only([reqwest::Certificate::from_pem(&pem).unwrap()])
        .build()
        .unwrap();
    let url = format!("https://localhost:{}/endless", gate.address.port());
    let mut answer = client.get(url).send().await.unwrap();
    answer.chunk().await.unwrap().unwrap();
    drop(answer);
    gate.expect(Event::Dropped).await;
}

#[tokio::test]
async fn rst_stream_drops_its_body_and_keeps_the_others() {
    let mut gate = Gate::open(settings()).await;
    let client = h2c();
    let mut leaving = client.get(gate.url("/endless")).send().await.unwrap();
    let mut staying = client.get(gate.url("/endless")).send().await.unwrap();
    leaving.chunk().await.unwrap().unwrap();
    staying.chunk().await.unwrap().unwrap();
    drop(leaving);
    gate.expect(Event::Dropped).await;
    assert!(gate.events.is_empty());
    assert_eq!(client.get(gate.url("/")).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn fin_of_http_2_client_drops_its_bodies_at_once() {
    let mut gate = Gate::open(settings()).await;
    let mut client = gate.send([PREFACE, SETTINGS, &ask("/endless")].concat()).await;
    read_until_bytes(&mut client, b"data: 1\n\n").await;
    client.shutdown().await.unwrap();
    gate.expect(Event::Dropped).await;
}
