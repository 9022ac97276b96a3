//! Clients that keep the server waiting are dropped.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Empty;
use hyper_util::rt::{TokioExecutor, TokioIo};
use streamgate::server::Settings;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use crate::server::{
    gate::{BOUND, Event, Gate, SHORT, secure, settings},
    http::{PREFACE, SETTINGS, ask, get, h2c, read_frame, read_to_end, read_until},
};

/// Sends `bytes` and waits. The server must close the connection after the header timeout.
async fn is_closed_in_time(settings: Settings, bytes: &[u8]) -> Vec<u8> {
    let gate = Gate::open(Settings { header_timeout: SHORT, ..settings }).await;
    let began = Instant::now();
    let mut client = gate.send(bytes).await;
    let got = read_to_end(&mut client).await;
    let lasted = began.elapsed();
    assert!(lasted >= SHORT, "closed after {lasted:?}");
    got
}

#[tokio::test]
async fn silent_connection_is_closed() {
    is_closed_in_time(settings(), b"").await;
}

#[tokio::test]
async fn connection_with_half_an_http_2_preface_is_closed() {
    is_closed_in_time(settings(), &PREFACE[..12]).await;
}

/// A client that does everything that HTTP/2 requires, also PING, but sends no request.
#[tokio::test]
async fn http_2_connection_without_a_request_is_closed() {
    let gate = Gate::open(Settings { header_timeout: SHORT, ..settings() }).await;
    let client = TokioIo::new(gate.connect().await);
    let (_asks, connection) =
        hyper::client::conn::http2::handshake::<_, _, Empty<Bytes>>(TokioExecutor::new(), client)
            .await
            .unwrap();
    // The result may be an error, because the server sends no GOAWAY to such a client.
    let _ = timeout(BOUND, connection).await.expect("still open");
}

#[tokio::test]
async fn connection_with_half_a_head_is_closed() {
    is_closed_in_time(settings(), b"GET / HTTP/1.1\r\nhost:").await;
}

#[tokio::test]
async fn connection_with_a_stalled_tls_handshake_is_closed() {
    let (gate, _files) = secure(SHORT).await;
    // The start of a ClientHello record.
    let mut client = gate.send([22, 3, 1, 2, 0, 1]).await;
    read_to_end(&mut client).await;
}

/// Sends a second request later than the header timeout.
#[tokio::test]
async fn idle_connection_outlives_the_header_timeout() {
    let gate = Gate::open(Settings { header_timeout: SHORT, ..settings() }).await;
    let mut client = gate.send(get("/")).await;
    read_until(&mut client, "HTTP/1.1 http").await;
    timeout(SHORT * 3, client.read_u8()).await.expect_err("closed");
    client.write_all(get("/").as_bytes()).await.unwrap();
    read_until(&mut client, "HTTP/1.1 http").await;
}

#[tokio::test]
async fn idle_connection_is_closed_after_the_idle_timeout() {
    let gate = Gate::open(Settings { idle_timeout: SHORT, ..settings() }).await;
    let began = Instant::now();
    let mut client = gate.send(get("/")).await;
    assert!(read_to_end(&mut client).await.ends_with(b"HTTP/1.1 http"));
    assert!(began.elapsed() >= SHORT, "closed after {:?}", began.elapsed());
}

#[tokio::test]
async fn each_request_head_has_its_own_timeout() {
    let hour = Duration::from_hours(1);
    let times = Settings { header_timeout: SHORT, idle_timeout: hour, ..settings() };
    let gate = Gate::open(times).await;
    let mut client = gate.send(get("/")).await;
    read_until(&mut client, "HTTP/1.1 http").await;
    client.write_all(b"GET / HTTP/1.1\r\nhost:").await.unwrap();
    let began = Instant::now();
    read_to_end(&mut client).await;
    assert!(began.elapsed() >= SHORT, "closed after {:?}", began.elapsed());
}

#[tokio::test]
async fn idle_http_2_connection_gets_goaway() {
    const GOAWAY: u8 = 7;
    let gate = Gate::open(Settings { idle_timeout: SHORT, ..settings() }).await;
    let mut client = gate.send([PREFACE, SETTINGS, &ask("/")].concat()).await;
    loop {
        let (kind, _, _) = read_frame(&mut client).await;
        if kind == GOAWAY {
            break;
        }
    }
}

/// Waits longer than the idle and the write timeout.
#[tokio::test]
async fn http_2_connection_with_a_stream_is_not_idle() {
    let times = Settings { idle_timeout: SHORT, write_timeout: SHORT, ..settings() };
    let mut gate = Gate::open(times).await;
    let mut answer = h2c().get(gate.url("/endless")).send().await.unwrap();
    answer.chunk().await.unwrap().unwrap();
    timeout(SHORT * 3, answer.chunk()).await.expect_err("ended");
    assert!(gate.events.try_recv().is_err());
}

/// The timeout is for the whole head, not for each byte.
#[tokio::test]
async fn connection_with_a_trickling_head_is_closed() {
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
async fn stream_may_last_longer_than_the_header_timeout() {
    let mut gate = Gate::open(Settings { header_timeout: SHORT, ..settings() }).await;
    let mut client = gate.send(get("/endless")).await;
    read_until(&mut client, "data: 1\n\n\r\n").await;
    timeout(SHORT * 3, client.read_u8()).await.expect_err("closed");
    assert!(gate.events.try_recv().is_err());
}

#[tokio::test]
async fn http_2_peer_that_answers_no_ping_is_dropped() {
    let mut gate = Gate::open(Settings { header_timeout: SHORT, ..settings() }).await;
    let _silent = gate.send([PREFACE, SETTINGS, &ask("/endless")].concat()).await;
    gate.expect(Event::Dropped).await;
}
