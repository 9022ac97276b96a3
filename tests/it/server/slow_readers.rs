//! Responses that clients read slowly or not at all.

use std::time::Instant;

use streamgate::{server::Settings, telemetry::MetricsFormat};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use crate::{
    server::{
        gate::{BOUND, Gate, LARGE, SHORT, settings},
        http::{PREFACE, ask, frame, get, h1, h2c, read_frame},
    },
    support::{memory::resident_bytes, until},
};

/// Reads the counter of responses that were aborted because of this limit.
fn given_up(settings: &Settings, limit: &str) -> u64 {
    let text = settings.telemetry.render(MetricsFormat::OpenMetrics);
    let sample = format!("streamgate_responses_aborted_total{{limit=\"{limit}\"}} ");
    let value = text.lines().find_map(|line| line.strip_prefix(&sample));
    value.map_or(0, |value| value.parse().unwrap())
}

/// An HTTP/2 request of `path` with a window of `bytes`.
fn ask_with_window(path: &str, bytes: u32) -> Vec<u8> {
    let window = [&[0, 4], &bytes.to_be_bytes()[..]].concat();
    [PREFACE, &frame(4, 0, 0, &window), &ask(path)].concat()
}

#[tokio::test]
async fn unread_response_is_aborted_after_the_write_timeout() {
    let settings = Settings { write_timeout: SHORT, ..settings() };
    let gate = Gate::open(settings.clone()).await;
    for (number, path) in (1..).zip(["/large", "/shared"]) {
        let mut client = gate.send_unread(get(path)).await;
        until("counter", async || given_up(&settings, "write_timeout") == number).await;
        // The client's buffer holds the beginning, and the rest never comes.
        let mut got = Vec::new();
        let _ = timeout(BOUND, client.read_to_end(&mut got)).await.expect("still open");
        assert!(got.len() < LARGE, "{}", got.len());
    }
}

#[tokio::test]
async fn slowly_read_response_is_not_aborted() {
    let gate = Gate::open(Settings { write_timeout: SHORT, ..settings() }).await;
    let mut client = gate.send_unread(get("/shared")).await;
    let began = Instant::now();
    let mut left = 1 << 20;
    let mut pauses = tokio::time::interval(SHORT / 10);
    while left > 0 {
        pauses.tick().await;
        let mut part = vec![0; 32 << 10];
        timeout(BOUND, client.read_exact(&mut part)).await.unwrap().expect("given up");
        left -= part.len();
    }
    assert!(began.elapsed() > 2 * SHORT);
}

#[tokio::test]
async fn unread_http_2_response_is_reset_and_its_connection_stays() {
    const RST_STREAM: u8 = 3;
    let settings = Settings { write_timeout: SHORT, ..settings() };
    let gate = Gate::open(settings.clone()).await;
    let mut client = gate.send(ask_with_window("/shared", 20_000)).await;
    loop {
        let (kind, id, _) = read_frame(&mut client).await;
        if kind == RST_STREAM {
            assert_eq!(id, 1);
            break;
        }
    }
    assert_eq!(given_up(&settings, "write_timeout"), 1);
    let ping = frame(6, 0, 0, b"12345678");
    client.write_all(&ping).await.unwrap();
    while read_frame(&mut client).await != (6, 0, b"12345678".to_vec()) {}
}

#[tokio::test]
async fn write_timeout_does_not_end_an_unread_stream() {
    let settings = Settings { write_timeout: SHORT, idle_timeout: SHORT, ..settings() };
    for words in [get("/flood").into_bytes(), ask_with_window("/flood", 20_000)] {
        let mut gate = Gate::open(settings.clone()).await;
        let _client = gate.send_unread(words).await;
        timeout(SHORT * 4, gate.events.recv()).await.expect_err("dropped");
    }
}

#[tokio::test]
async fn unread_responses_over_the_limit_are_aborted() {
    for asks in [get("/large").into_bytes(), ask_with_window("/large", 20_000)] {
        let settings = Settings { unread_limit: 4 * LARGE, ..settings() };
        let gate = Gate::open(settings.clone()).await;
        let mut unread = Vec::new();
        for _ in 0..10 {
            unread.push(gate.send_unread(&asks).await);
        }
        until("counter", async || given_up(&settings, "unread_bytes") == 6).await;
        let answer = h1().get(gate.url("/large")).send().await.unwrap();
        assert_eq!(answer.bytes().await.unwrap().len(), LARGE);
        // Shared bytes do not count.
        for _ in 0..10 {
            unread.push(gate.send_unread(get("/shared")).await);
        }
        let answer = h1().get(gate.url("/shared")).send().await.unwrap();
        assert_eq!(answer.bytes().await.unwrap().len(), LARGE);
        assert!((6..=7).contains(&given_up(&settings, "unread_bytes")));
    }
}

/// Bytes that the client has read do not count.
#[tokio::test]
async fn fully_read_responses_do_not_count_as_unread() {
    let settings = Settings { unread_limit: LARGE, ..settings() };
    let gate = Gate::open(settings.clone()).await;
    for client in [h1(), h2c()] {
        for _ in 0..5 {
            let answer = client.get(gate.url("/large")).send().await.unwrap();
            assert_eq!(answer.bytes().await.unwrap().len(), LARGE);
        }
    }
    assert_eq!(given_up(&settings, "unread_bytes"), 0);
}

#[tokio::test]
async fn shared_bytes_are_not_copied_for_each_client() {
    let gate = Gate::open(settings()).await;
    h1().get(gate.url("/shared")).send().await.unwrap().bytes().await.unwrap();
    let before = resident_bytes();
    let mut unread = Vec::new();
    for _ in 0..50 {
        let mut client = gate.send_unread(get("/shared")).await;
        let mut start = [0; 1024];
        timeout(BOUND, client.read_exact(&mut start)).await.unwrap().unwrap();
        unread.push(client);
    }
    let more = resident_bytes().saturating_sub(before);
    // A copy for each client would need 200 MiB.
    assert!(more < 50 << 20, "{more} bytes more");
}
