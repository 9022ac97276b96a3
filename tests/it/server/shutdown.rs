//! A shutdown, with and without a drain time.

use std::{
    io,
    time::{Duration, Instant},
};

use streamgate::server::Settings;
use tokio::{io::AsyncReadExt, net::TcpStream, time::timeout};

use crate::server::{
    gate::{BOUND, Event, Gate, SHORT, secure, settings},
    http::{get, h1, h2c, read_until},
};

#[tokio::test]
async fn shutdown_lets_a_running_response_finish() {
    for client in [h1(), h2c()] {
        let mut gate = Gate::open(settings()).await;
        let response = tokio::spawn(client.get(gate.url("/slow")).send());
        gate.expect(Event::Requested).await;
        gate.stop.cancel();
        // The listener closes at once, and the response still arrives.
        let refused = async { while TcpStream::connect(gate.address).await.is_ok() {} };
        timeout(BOUND, refused).await.expect("still listening");
        assert!(!gate.ended.is_finished());
        gate.release.send(true).unwrap();
        assert_eq!(response.await.unwrap().unwrap().text().await.unwrap(), "done");
        gate.ends().await;
    }
}

#[tokio::test]
async fn shutdown_drops_open_responses_after_the_drain_time() {
    for client in [h1(), h2c()] {
        for path in ["/endless", "/slow"] {
            let mut gate = Gate::open(Settings { drain: SHORT, ..settings() }).await;
            let response = tokio::spawn(client.get(gate.url(path)).send());
            let answer = if path == "/slow" {
                gate.expect(Event::Requested).await;
                None
            } else {
                Some(response.await.unwrap().unwrap())
            };
            let began = Instant::now();
            gate.stop.cancel();
            gate.expect(Event::Dropped).await;
            assert!(began.elapsed() >= SHORT, "dropped after {:?}", began.elapsed());
            gate.ends().await;
            drop(answer);
        }
    }
}

/// The timeouts are an hour, so the test passes only if the server does not wait.
#[tokio::test]
async fn shutdown_does_not_wait_for_idle_connections() {
    let hour = Duration::from_hours(1);
    let gate = Gate::open(Settings { header_timeout: hour, drain: hour, ..settings() }).await;
    let _silent = gate.connect().await;
    let mut kept_alive = gate.send(get("/")).await;
    read_until(&mut kept_alive, "HTTP/1.1 http").await;
    let h2 = h2c();
    h2.get(gate.url("/")).send().await.unwrap().text().await.unwrap();
    gate.stop.cancel();
    gate.ends().await;
}

#[tokio::test]
async fn dropping_the_server_ends_its_connections() {
    let gate = Gate::open(settings()).await;
    let mut client = gate.send(get("/")).await;
    read_until(&mut client, "HTTP/1.1 http").await;
    gate.ended.abort();
    assert!(gate.ended.await.unwrap_err().is_cancelled());
    // The connection ends sooner than the header timeout, which is `BOUND`.
    let closed = timeout(BOUND / 2, client.read_u8()).await.expect("still open");
    assert_eq!(closed.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn shutdown_does_not_wait_for_a_stalled_tls_handshake() {
    let (gate, _files) = secure(Duration::from_hours(1)).await;
    let _client = gate.send([22, 3, 1, 2, 0, 1]).await;
    gate.stop.cancel();
    gate.ends().await;
}
