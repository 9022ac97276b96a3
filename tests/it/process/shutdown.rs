//! Signals that end the process while streams are open.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::net::TcpStream;
use uuid::Uuid;

use crate::support::{
    Caller, SseReader, Store, id_of,
    process::{ADMIN, Process, streamgate},
};

/// Long enough to notice a stream that does not end by itself.
const DRAIN: Duration = Duration::from_secs(15);

#[tokio::test]
async fn signal_closes_streams_and_ends_the_process_successfully() {
    for signal in ["TERM", "INT", "QUIT"] {
        let store = Store::new().await;
        let mut serve = streamgate(&store, ["serve"]);
        serve
            .env("STREAMGATE_ADMIN_PASSWORD", ADMIN)
            .env("STREAMGATE_SERVER__DRAIN_SECONDS", DRAIN.as_secs().to_string());
        let process = Process::start(&mut serve).await;
        let admin = process.log_in("admin", ADMIN).await;
        let id = id_of(&admin.post("/v1/topologies", json!({ "name": "lab" })).await.ok());
        let mut readers = Vec::new();
        for _ in 0..3 {
            let mut reader = admin.watch(id, "").await;
            reader.expect("snapshot").await;
            readers.push(reader);
        }
        let ready = process.anyone().get("/health/ready").await.ok();
        assert_eq!(ready["status"], "up");
        for (index, name) in ["database", "bus"].into_iter().enumerate() {
            let dependency = &ready["dependencies"][index];
            assert_eq!((&dependency["name"], &dependency["status"]), (&json!(name), &json!("up")));
            assert!(dependency["latency_ms"].as_f64() >= Some(0.0), "{dependency}");
        }

        let began = Instant::now();
        process.signal(signal).await;
        let mut retries = Vec::new();
        for reader in &mut readers {
            let closed = reader.expect("stream.closed").await;
            assert_eq!((closed.data, closed.id), (json!({ "reason": "shutdown" }), None));
            retries.push(closed.retry.expect("a retry time"));
            reader.expect_end().await;
        }
        assert!(retries.iter().all(|retry| (1_000..=10_000).contains(retry)), "{retries:?}");
        retries.dedup();
        assert!(retries.len() > 1, "all clients reconnect at the same time");
        let address = process.address;
        process.ended().await;
        assert!(began.elapsed() < DRAIN, "a stream did not end by itself");
        assert!(TcpStream::connect(address).await.is_err(), "the port is closed");
        store.remove().await;
    }
}

/// Starts with this delay of the shutdown. Returns the process, a client, a topology and its stream.
async fn with_delay(store: &Store, seconds: &str) -> (Process, Caller, Uuid, SseReader) {
    let mut serve = streamgate(store, ["serve"]);
    serve
        .env("STREAMGATE_ADMIN_PASSWORD", ADMIN)
        .env("STREAMGATE_SERVER__SHUTDOWN_DELAY_SECONDS", seconds);
    let process = Process::start(&mut serve).await;
    let admin = process.log_in("admin", ADMIN).await;
    let id = id_of(&admin.post("/v1/topologies", json!({ "name": "lab" })).await.ok());
    let mut reader = admin.watch(id, "").await;
    reader.expect("snapshot").await;
    assert_eq!(process.anyone().get("/health/ready").await.status, 200);
    (process, admin, id, reader)
}

#[tokio::test]
async fn gateway_serves_unready_until_a_second_signal() {
    for second in ["TERM", "INT"] {
        let store = Store::new().await;
        // Longer than any test. Only the second signal can end this delay.
        let (process, admin, id, mut reader) = with_delay(&store, "3600").await;
        process.signal("TERM").await;
        process.logs("not ready from now on").await;
        let refused = process.anyone().get("/health/ready").await;
        assert!(refused.headers.contains_key("retry-after"));
        assert_eq!(refused.body["dependencies"][0]["status"], "up");
        assert_eq!(refused.problem(503), "the gateway is shutting down");
        assert_eq!(process.anyone().get("/health/live").await.status, 200);
        // Both use new connections.
        let mut late = process.log_in("admin", ADMIN).await.watch(id, "").await;
        late.expect("snapshot").await;
        admin.set_status(id, "deploying").await.ok();
        for open in [&mut reader, &mut late] {
            open.expect("status").await;
        }

        process.signal(second).await;
        for open in [&mut reader, &mut late] {
            let closed = open.expect("stream.closed").await;
            assert_eq!(closed.data, json!({ "reason": "shutdown" }));
            open.expect_end().await;
        }
        drop((reader, late));
        process.ended().await;
        store.remove().await;
    }
}

#[tokio::test]
async fn drain_follows_the_delay_without_another_signal() {
    let store = Store::new().await;
    let (process, _, _, mut reader) = with_delay(&store, "1").await;
    let began = Instant::now();
    process.signal("TERM").await;
    reader.expect("stream.closed").await;
    assert!(began.elapsed() >= Duration::from_secs(1), "the delay was too short");
    reader.expect_end().await;
    drop(reader);
    process.ended().await;
    store.remove().await;
}
