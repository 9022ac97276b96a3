//! Signals that end the process while streams are open.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::net::TcpStream;

use crate::support::{
    Store, id_of,
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
