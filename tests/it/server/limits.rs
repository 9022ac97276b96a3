//! Limits of heads, bodies, streams and connections of one client.

use streamgate::{
    limit::{ConnectionLimit, ConnectionLimits, Connections},
    server::Settings,
    telemetry::MetricsFormat,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use crate::{
    server::{
        gate::{BOUND, Gate, settings},
        http::{PREFACE, SETTINGS, get, h1, h2c, read_to_end, read_until},
    },
    support::until,
};

#[tokio::test]
async fn oversized_head_is_refused() {
    let gate = Gate::open(settings()).await;
    // The second head is longer than the server reads. The response must arrive although the rest
    // is unread.
    for length in [settings().head_limit, 1 << 20] {
        let head = format!("GET / HTTP/1.1\r\nlong: {}\r\n\r\n", "x".repeat(length));
        let mut client = gate.send(head).await;
        let answer = read_to_end(&mut client).await;
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
        assert!(answer.contains("\r\nx-request-id: some-id\r\ncontent-length: 14\r\n"), "{answer}");
        assert!(answer.ends_with("\r\n\r\na body for 431"), "{answer}");
    }
}

#[tokio::test]
async fn malformed_http_is_refused_with_a_body() {
    let gate = Gate::open(settings()).await;
    for nonsense in ["nonsense\r\n\r\n", "GET / HTTP/7.0\r\n\r\n", "GET / HTTP/1.1\r\n:\r\n\r\n"] {
        let mut client = gate.send(nonsense.to_owned()).await;
        let answer = String::from_utf8(read_to_end(&mut client).await).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        assert!(answer.ends_with("\r\n\r\na body for 400"), "{answer}");
        assert_eq!(answer.matches("content-length").count(), 1, "{answer}");
    }
}

#[tokio::test]
async fn oversized_head_over_http_2_is_refused() {
    let gate = Gate::open(settings()).await;
    // The endpoint refuses heads between the limit and this length, with a body.
    let long = "x".repeat(4 * settings().head_limit);
    let answer = h2c().get(gate.url("/")).header("long", long).send().await.unwrap();
    assert_eq!(answer.status(), 431);
}

#[tokio::test]
async fn head_within_the_limit_is_answered() {
    let gate = Gate::open(settings()).await;
    let long = "x".repeat(settings().head_limit - 500);
    for client in [h1(), h2c()] {
        let answer = client.get(gate.url("/")).header("long", &long).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    }
}

#[tokio::test]
async fn early_response_arrives_despite_a_continuing_upload() {
    let gate = Gate::open(settings()).await;
    let body = vec![b'x'; 10 << 20];
    let head =
        format!("POST /refuse HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", body.len());
    let mut client = gate.send(head).await;
    let uploaded = timeout(BOUND, client.write_all(&body)).await;
    uploaded.expect("stuck while uploading").expect("reset while uploading");
    let answer = read_to_end(&mut client).await;
    assert!(answer.starts_with(b"HTTP/1.1 413 "), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test]
async fn number_of_http_2_streams_is_limited() {
    const MAX_CONCURRENT_STREAMS: [u8; 2] = [0, 3];
    let gate = Gate::open(settings()).await;
    let mut client = gate.send([PREFACE, SETTINGS].concat()).await;
    let mut head = [0; 9];
    timeout(BOUND, client.read_exact(&mut head)).await.unwrap().unwrap();
    let mut payload = vec![0; usize::from(head[2])];
    timeout(BOUND, client.read_exact(&mut payload)).await.unwrap().unwrap();
    let bound = payload.chunks(6).find(|setting| setting[..2] == MAX_CONCURRENT_STREAMS);
    assert_eq!(bound.unwrap()[2..], [0, 0, 0, 100]);
}

/// Whether exactly one connection was closed at once because of this limit.
fn refused(settings: &Settings, limit: &str) -> bool {
    let sample = format!("streamgate_connections_refused_total{{limit=\"{limit}\"}} 1\n");
    settings.telemetry.render(MetricsFormat::OpenMetrics).contains(&sample)
}

#[tokio::test]
async fn connection_over_the_limit_is_closed_at_once() {
    let loopback = "127.0.0.0/8".parse().unwrap();
    for (total, per_address, exempt, limit) in [
        (2, 100, Vec::new(), "connections"),
        (2, 1, vec![loopback], "connections"),
        (100, 2, Vec::new(), "connections-address"),
    ] {
        let connections = ConnectionLimits { total, per_address, exempt };
        let settings = Settings { connections, ..settings() };
        let gate = Gate::open(settings.clone()).await;
        let mut clients = [gate.send(get("/")).await, gate.send(get("/")).await];
        for client in &mut clients {
            read_until(client, "HTTP/1.1 http").await;
        }
        let mut third = gate.connect().await;
        assert_eq!(read_to_end(&mut third).await, b"");
        until("counter", async || refused(&settings, limit)).await;
        // The next connection is accepted when one of them has closed.
        let [first, mut second] = clients;
        drop(first);
        let answered = async {
            loop {
                let mut client = gate.send(get("/")).await;
                if client.read_u8().await.is_ok() {
                    break;
                }
            }
        };
        timeout(BOUND, answered).await.expect("no free connection");
        second.write_all(get("/").as_bytes()).await.unwrap();
        read_until(&mut second, "HTTP/1.1 http").await;
    }
}

#[test]
fn ipv6_network_counts_as_one_address() {
    let limits = ConnectionLimits {
        total: 100,
        per_address: 1,
        exempt: vec!["10.0.0.0/8".parse().unwrap(), "2001:db8:1::/48".parse().unwrap()],
    };
    let connections = Connections::new(limits);
    let admit = |address: &str| connections.admit(address.parse().unwrap());
    let first = admit("2001:db8::1").unwrap();
    assert_eq!(admit("2001:db8::2").unwrap_err(), ConnectionLimit::Address);
    let _other = admit("2001:db8:0:1::1").unwrap();
    let _mapped = admit("::ffff:192.0.2.1").unwrap();
    assert_eq!(admit("192.0.2.1").unwrap_err(), ConnectionLimit::Address);
    for exempt in ["10.1.2.3", "::ffff:10.1.2.3", "2001:db8:1::1"] {
        let _two = (admit(exempt).unwrap(), admit(exempt).unwrap());
    }
    first.mark_authenticated();
    let _next = admit("2001:db8::2").unwrap();
    drop(first);
    assert_eq!(admit("2001:db8::3").unwrap_err(), ConnectionLimit::Address);
}
