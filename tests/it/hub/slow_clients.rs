//! What streams owe to clients that read slowly, or not at all, and to those beside them.

use std::time::Duration;

use entity::{Timestamp, user::Role};
use serde_json::{Value, json};
use streamgate::{
    config::Config,
    event::{Cursor, Event, Family, NewEvent, Topic},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
};
use uuid::Uuid;

use crate::support::{
    app::{App, Caller, soon, until},
    sse::SseReader,
};

/// An operator and a topology that takes mutations, and streams for everybody.
pub async fn stage(change: impl FnOnce(&mut Config)) -> (App, Caller, Uuid) {
    let app = App::with(|config| {
        config.limits.streams_per_user = 10_000;
        change(config);
    })
    .await;
    let operator = app.caller(Role::Operator).await;
    let topology = app.active_topology(&operator).await;
    (app, operator, topology)
}

pub fn note(number: u64, size: usize) -> NewEvent {
    NewEvent::new("note", &json!({ "number": number, "pad": "x".repeat(size) })).expect("a kind")
}

#[tokio::test]
async fn an_answer_that_is_not_read_yet_comes_whole_before_the_stream_on_the_same_connection() {
    let (app, operator, topology) = stage(|_| ()).await;
    let path = format!("/v1/topologies/{topology}/mutations");
    for _ in 0..60 {
        let payload = json!({ "pad": "x".repeat(16_000) });
        operator.post(&path, json!({ "op": "add_node", "payload": payload })).await.ok();
    }
    let token = operator.token.as_deref().expect("a token");
    let socket = TcpSocket::new_v4().expect("a socket");
    // What is not read soon has nowhere to go.
    socket.set_recv_buffer_size(4096).expect("an option");
    let mut socket = socket.connect(app.address).await.expect("a connection");
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
async fn a_listener_that_talks_is_not_heard_and_one_that_does_not_stop_is_cut_off() {
    let (app, operator, topology) = stage(|_| ()).await;
    let mut reader = operator.watch(topology, "").await;
    reader.expect("snapshot").await;
    reader.socket.write_all(&[b'x'; 5_000]).await.expect("room");
    operator.mutate(topology, 1).await.ok();
    reader.expect("mutation.enqueued").await;
    drop(reader);
    until("slot freed", async || app.gateway.limits.open_slots() == 0).await;

    let mut flood = operator.watch(topology, "").await;
    flood.expect("snapshot").await;
    soon("end", async { while flood.socket.write_all(&[b'x'; 16_000]).await.is_ok() {} }).await;
    until("slot freed", async || app.gateway.limits.open_slots() == 0).await;
    app.finish().await;
}

#[tokio::test]
async fn heartbeats_come_on_silent_streams_only() {
    let (app, operator, topology) = stage(|config| config.streams.heartbeat_seconds = 1).await;
    let silent = app.active_topology(&operator).await;
    let mut busy = operator.watch(topology, "").await;
    let mut quiet = operator.watch(silent, "").await;
    busy.expect("snapshot").await;
    quiet.expect("snapshot").await;
    let topic = Topic::new(Family::Topology, topology);
    let mut ticks = tokio::time::interval(Duration::from_millis(200));
    for number in 0..20 {
        ticks.tick().await;
        app.gateway.hub.publish(topic.clone(), vec![note(number, 1)]).await.expect("a commit");
        let block = busy.next_block().await.expect("a block");
        assert_eq!(block.data["number"], number, "not a heartbeat: {}", block.text);
    }
    for _ in 0..3 {
        let block = quiet.next_block().await.expect("a block");
        assert_eq!(block.text, ":\n\n");
    }
    drop((busy, quiet));
    app.finish().await;
}

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
                let socket = TcpSocket::new_v4().expect("a socket");
                // What is not read soon has nowhere to go.
                socket.set_recv_buffer_size(4096).expect("an option");
                let socket = socket.connect(caller.address).await.expect("a connection");
                caller.watch_on(socket, topology, query).await
            });
        }
        readers.extend(opening.join_all().await);
    }
    readers
}

/// Reads notes with the numbers from 0 on, with as little work as possible.
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
        // No mark in these but for its first bytes.
        let kept = bytes.len().saturating_sub(wanted.len());
        if !bytes.windows(MARK.len()).any(|bytes| bytes == MARK) {
            bytes.drain(..kept);
        }
    }
}

/// Bytes of memory that this process holds.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("a status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
    1024 * line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_that_never_read_neither_hold_up_a_thousand_others_nor_fill_the_memory() {
    const NOTES: u64 = 20;
    let (app, operator, topology) = stage(|config| config.streams.buffer_events = 4).await;
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
    let before = resident();
    let topic = Topic::new(Family::Topology, topology);
    // 200 KB each, if it were queued for those who do not read.
    for number in 0..NOTES {
        let publish = app.gateway.hub.publish(topic.clone(), vec![note(number, 10_000)]);
        soon("acknowledgement", publish).await.expect("a commit");
    }
    let others = readings.join_all().await;
    let grown = resident().saturating_sub(before);
    assert!(grown < 100 << 20, "{grown} bytes more");
    assert_eq!(app.gateway.limits.open_slots(), 2_002, "nobody was thrown out");
    drop(others);
    // Those who did not ask for it lose nothing when they do read.
    for mut reader in never.into_iter().rev().take(10) {
        read_notes(&mut reader.socket, NOTES).await;
    }
    assert!(app.metric("streamgate_catch_ups_total{family=\"topology\"}") > 0.0);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publishers_are_held_back_before_those_who_read_fall_behind_the_ring() {
    let (app, operator, topology) = stage(|config| config.streams.buffer_events = 8).await;
    let mut readers = open_many(&operator, topology, 300, "").await;
    let mut cursor: Option<Cursor> = None;
    for reader in &mut readers {
        let snapshot = reader.expect("snapshot").await;
        cursor = snapshot.id.map(|id| id.parse().expect("a cursor"));
    }
    let mut cursor = cursor.expect("a cursor");
    let topic = Topic::new(Family::Topology, topology);
    // Without the database, which would be the slowest of all. Less than a socket's buffer.
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
    assert!(catch_ups < 1.0, "{catch_ups} looks at the log");
    drop(readers);
    app.finish().await;
}
