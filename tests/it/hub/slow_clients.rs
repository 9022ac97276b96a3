//! Clients that read slowly or not at all delay no other client and lose no event.

use entity::Timestamp;
use serde_json::{Value, json};
use streamgate::event::{Cursor, Event, Family, NewEvent, Topic};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};
use uuid::Uuid;

use crate::support::{
    Caller, SseReader, connect_with_small_buffer, events::note, memory::resident_bytes, soon,
    topology::app_with_topology,
};

/// Opens many streams of a topology, a few at a time.
async fn open_many(
    caller: &Caller,
    topology: Uuid,
    count: usize,
    query: &'static str,
) -> Vec<SseReader> {
    let mut readers = Vec::with_capacity(count);
    while readers.len() < count {
        let mut opening = JoinSet::new();
        for _ in 0..(count - readers.len()).min(50) {
            let caller = caller.clone();
            opening.spawn(async move {
                let socket = connect_with_small_buffer(caller.address).await;
                caller.watch_on(socket, topology, query).await
            });
        }
        readers.extend(opening.join_all().await);
    }
    readers
}

/// Reads notes with the numbers from 0 on, as cheaply as possible.
async fn read_notes(socket: &mut TcpStream, count: u64) {
    const MARK: &[u8] = b"{\"number\":";
    let mut bytes = Vec::new();
    let mut expected = 0;
    while expected < count {
        let read = soon("note", socket.read_buf(&mut bytes)).await.expect("bytes");
        assert_ne!(read, 0, "the end instead of note {expected}");
        let wanted = format!("{{\"number\":{expected},");
        while let Some(at) = bytes.windows(MARK.len()).position(|bytes| bytes == MARK) {
            if bytes.len() < at + wanted.len() {
                break;
            }
            let found = String::from_utf8_lossy(&bytes[at..at + wanted.len()]).into_owned();
            assert_eq!(found, format!("{{\"number\":{expected},"));
            bytes.drain(..at + wanted.len());
            expected += 1;
        }
        // These bytes hold at most the start of a mark.
        let kept = bytes.len().saturating_sub(wanted.len());
        if !bytes.windows(MARK.len()).any(|bytes| bytes == MARK) {
            bytes.drain(..kept);
        }
    }
}

#[tokio::test]
async fn unread_responses_arrive_whole_before_a_pipelined_stream() {
    let (app, operator, topology) = app_with_topology(|_| ()).await;
    let path = format!("/v1/topologies/{topology}/mutations");
    for _ in 0..60 {
        let payload = json!({ "pad": "x".repeat(16_000) });
        operator.post(&path, json!({ "op": "add_node", "payload": payload })).await.ok();
    }
    let token = operator.token.as_deref().expect("a token");
    let mut socket = connect_with_small_buffer(app.address).await;
    let ask = |path: &str| {
        format!("GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n")
    };
    let stream = format!("/v1/topologies/{topology}/stream?max_events=1");
    let requests = [ask(&path), ask(&path), ask(&stream)].concat();
    socket.write_all(requests.as_bytes()).await.expect("requests");
    for _ in 0..2 {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(soon("head", socket.read_u8()).await.expect("a byte"));
        }
        let head = String::from_utf8(head).expect("ASCII").to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.expect("a length").parse().expect("a number")];
        assert!(body.len() > 500_000, "{}", body.len());
        soon("body", socket.read_exact(&mut body)).await.expect("a body");
        serde_json::from_slice::<Value>(&body).expect("JSON");
    }
    let mut reader = SseReader::on(socket, "").await;
    reader.expect("snapshot").await;
    reader.expect_end().await;
    drop(reader);
    app.finish().await;
}

#[tokio::test]
async fn bytes_from_a_client_are_ignored_up_to_a_limit() {
    let (app, operator, topology) = app_with_topology(|_| ()).await;
    let mut reader = operator.watch(topology, "").await;
    reader.expect("snapshot").await;
    reader.socket.write_all(&[b'x'; 5_000]).await.expect("a write");
    operator.mutate(topology, 1).await.ok();
    reader.expect("mutation.enqueued").await;
    drop(reader);
    app.slots_freed().await;

    let mut flood = operator.watch(topology, "").await;
    flood.expect("snapshot").await;
    soon("end", async { while flood.socket.write_all(&[b'x'; 16_000]).await.is_ok() {} }).await;
    app.slots_freed().await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousand_stalled_clients_neither_delay_others_nor_fill_memory() {
    const NOTES: u64 = 20;
    let (app, operator, topology) =
        app_with_topology(|config| config.streams.buffer_events = 4).await;
    let mut never = Vec::new();
    for query in ["overflow=drop_oldest", "overflow=drop_new", ""] {
        never.extend(open_many(&operator, topology, 334, query).await);
    }
    let mut readings = JoinSet::new();
    for mut reader in open_many(&operator, topology, 1_000, "").await {
        readings.spawn(async move {
            read_notes(&mut reader.socket, NOTES).await;
            reader
        });
    }
    let before = resident_bytes();
    let topic = Topic::new(Family::Topology, topology);
    // If the gateway queued events for clients that do not read, it would need 200 KB per client.
    for number in 0..NOTES {
        let publish = app.gateway.hub.publish(topic.clone(), vec![note(number, 10_000)]);
        soon("acknowledgement", publish).await.expect("a commit");
    }
    let others = readings.join_all().await;
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 100 << 20, "{grown} bytes more");
    assert_eq!(app.gateway.limits.open_slots(), 2_002, "no stream was closed");
    drop(others);
    // Clients without a strategy have lost nothing when they finally read.
    for mut reader in never.into_iter().rev().take(10) {
        read_notes(&mut reader.socket, NOTES).await;
    }
    assert!(app.metric("streamgate_catch_ups_total{family=\"topology\"}") > 0.0);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backpressure_holds_publishers_before_readers_fall_behind_the_ring() {
    let (app, operator, topology) =
        app_with_topology(|config| config.streams.buffer_events = 8).await;
    let mut readers = open_many(&operator, topology, 300, "").await;
    let mut cursor: Option<Cursor> = None;
    for reader in &mut readers {
        let snapshot = reader.expect("snapshot").await;
        cursor = snapshot.id.map(|id| id.parse().expect("a cursor"));
    }
    let mut cursor = cursor.expect("a cursor");
    let topic = Topic::new(Family::Topology, topology);
    // The events skip the database, which would be slower than the clients. All events fit into a
    // socket's buffer.
    for number in 0..200 {
        cursor.seq += 1;
        let NewEvent { kind, data, terminal } = note(number, 10);
        let at = Timestamp::now();
        let (of, prior_nonce) = (topic.clone(), cursor.nonce);
        let event = Event { topic: of, cursor, prior_nonce, kind, data, terminal, at };
        app.gateway.hub.deliver(&[event]);
        soon("capacity", app.gateway.hub.wait_for_capacity(&topic)).await;
    }
    for reader in &mut readers {
        for number in 0..200 {
            assert_eq!(reader.expect("note").await.data["number"], number);
        }
    }
    let catch_ups = app.metric("streamgate_catch_ups_total{family=\"topology\"}");
    assert!(catch_ups < 1.0, "{catch_ups} reads of the log");
    drop(readers);
    app.finish().await;
}
