//! A peer that keeps us waiting is dropped.

use super::tls::secure;
use super::*;

/// Says `words` and waits: the end must come, after the header timeout and not much later.
async fn is_closed_in_time(settings: Settings, words: &[u8]) -> Vec<u8> {
    let gate = Gate::open(Settings { header_timeout: SHORT, ..settings }).await;
    let began = Instant::now();
    let mut client = gate.send(words).await;
    let got = read_to_end(&mut client).await;
    let lasted = began.elapsed();
    assert!(lasted >= SHORT, "closed after {lasted:?}");
    got
}

#[tokio::test]
async fn a_connection_that_sends_nothing_is_closed() {
    is_closed_in_time(settings(), b"").await;
}

#[tokio::test]
async fn half_an_h2_preface_is_closed_after_the_header_timeout() {
    is_closed_in_time(settings(), &PREFACE[..12]).await;
}

/// A client that does all that HTTP/2 demands of it, PING included, but ask.
#[tokio::test]
async fn an_h2_connection_that_never_asks_is_closed() {
    let gate = Gate::open(Settings { header_timeout: SHORT, ..settings() }).await;
    let client = TokioIo::new(gate.connect().await);
    let (_asks, connection) =
        hyper::client::conn::http2::handshake::<_, _, Empty<Bytes>>(TokioExecutor::new(), client)
            .await
            .unwrap();
    // With or without an error: the server does not say goodbye to who never asked.
    let _ = timeout(BOUND, connection).await.expect("still open");
}

#[tokio::test]
async fn half_a_head_is_closed_after_the_header_timeout() {
    is_closed_in_time(settings(), b"GET / HTTP/1.1\r\nhost:").await;
}

#[tokio::test]
async fn a_stalled_tls_handshake_is_closed() {
    let (gate, _files) = secure(SHORT).await;
    // The start of a ClientHello record.
    let mut client = gate.send([22, 3, 1, 2, 0, 1]).await;
    read_to_end(&mut client).await;
}

#[tokio::test]
async fn a_kept_alive_connection_that_asks_no_more_is_closed() {
    let got = is_closed_in_time(settings(), get("/").as_bytes()).await;
    assert!(got.ends_with(b"HTTP/1.1 http"));
}

/// The timeout is for the whole head, not from byte to byte.
#[tokio::test]
async fn a_head_that_trickles_is_closed() {
    let gate = Gate::open(Settings { header_timeout: SHORT, ..settings() }).await;
    let mut client = gate.send("GET / HTTP/1.1\r\nslow: ").await;
    let trickle = async {
        loop {
            let closed = timeout(SHORT / 10, client.read_u8()).await;
            if closed.is_ok() || client.write_u8(b'x').await.is_err() {
                break;
            }
        }
    };
    timeout(BOUND, trickle).await.expect("still open");
}

#[tokio::test]
async fn a_stream_may_last_longer_than_the_header_timeout() {
    let mut gate = Gate::open(Settings { header_timeout: SHORT, ..settings() }).await;
    let mut client = gate.send(get("/endless")).await;
    read_until(&mut client, "data: 1\n\n\r\n").await;
    timeout(SHORT * 3, client.read_u8()).await.expect_err("closed");
    assert!(gate.events.try_recv().is_err());
}

#[tokio::test]
async fn an_h2_peer_that_answers_no_ping_is_dropped() {
    let mut gate = Gate::open(Settings { header_timeout: SHORT, ..settings() }).await;
    let _silent = gate.send([PREFACE, SETTINGS, &ask("/endless")].concat()).await;
    gate.expect(Event::Dropped).await;
}
