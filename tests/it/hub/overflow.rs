//! Overflow: the events that a client gets if it does not read, by its overflow strategy.

use serde_json::json;
use streamgate::{
    config::{Config, Overflow},
    event::{Family, Topic},
};
use uuid::Uuid;

use crate::support::{
    App, Caller, SseReader, connect_with_small_buffer,
    events::{note, publish},
    http2, soon, topology as delivery, until,
};

/// Events kept in memory.
const BUFFER: u64 = 16;

/// Events that are published while no client reads. Each has 16 kB, so that the sockets hold only a
/// few of them.
const EVENTS: u64 = 200;

async fn start(change: impl FnOnce(&mut Config)) -> (App, Caller, Uuid) {
    delivery::app_with_topology(|config| {
        config.streams.buffer_events = 16;
        config.streams.heartbeat_seconds = 1;
        change(config);
    })
    .await
}

/// Opens a stream on a socket with a small buffer, and reads the snapshot.
async fn open(app: &App, caller: &Caller, topology: Uuid, query: &str) -> SseReader {
    let socket = connect_with_small_buffer(app.address).await;
    let mut reader = caller.watch_on(socket, topology, query).await;
    reader.expect("snapshot").await;
    reader
}

/// The events of one subscriber.
#[derive(Debug, Default)]
struct Tally {
    given: u64,
    dropped: u64,
    /// Whether the newest block is an event, and not an announcement of dropped events.
    has_last: bool,
}

/// Reads until each of the first `total` events has arrived or was announced as dropped, once and
/// in order.
async fn read_to(reader: &mut SseReader, total: u64) -> Tally {
    let mut tally = Tally::default();
    while tally.given + tally.dropped < total {
        let block = soon("event", reader.next()).await.expect("more events");
        assert!(block.id.is_some(), "{}", block.text);
        tally.has_last = block.event == "note";
        if tally.has_last {
            assert_eq!(block.data["number"], tally.given + tally.dropped, "{tally:?}");
            tally.given += 1;
        } else {
            assert_eq!(block.event, "stream.dropped", "{}", block.text);
            tally.dropped += block.data["count"].as_u64().expect("a count");
        }
    }
    assert_eq!(tally.given + tally.dropped, total);
    tally
}

#[tokio::test]
async fn stalled_client_gets_the_events_of_its_overflow_strategy() {
    let (app, operator, topology) = start(|_| ()).await;
    let strategies = ["close_connection", "catch_up", "drop_oldest", "drop_new"];
    let mut readers = Vec::new();
    // With this many streams, the reactor writes to them.
    for strategy in strategies.repeat(3) {
        let query = format!("overflow={strategy}");
        readers.push((strategy, open(&app, &operator, topology, &query).await));
    }
    publish(&app, topology, 0..EVENTS, 16_000).await;
    // The streams that the gateway closes are read first.
    readers.sort_by_key(|(strategy, _)| strategies.iter().position(|other| other == strategy));
    let mut dropped = 0;
    let mut kept = Vec::new();
    for (strategy, mut reader) in readers {
        if strategy == "close_connection" {
            let mut given = 0;
            let last = loop {
                match soon("event", reader.next()).await.expect("an announcement") {
                    note if note.event == "note" => given += 1,
                    other => break other,
                }
            };
            assert_eq!(
                (last.event.as_str(), &last.data["reason"]),
                ("stream.closed", &json!("overflow"))
            );
            assert!(given < EVENTS, "{given}");
            reader.expect_end().await;
            continue;
        }
        let tally = read_to(&mut reader, EVENTS).await;
        dropped += tally.dropped;
        match strategy {
            "catch_up" => assert_eq!(tally.dropped, 0),
            "drop_oldest" => assert!(tally.has_last && tally.dropped > 0, "{tally:?}"),
            // The client gets the events that fit into the ring, and none of the later events.
            _ => assert!(!tally.has_last && tally.given >= BUFFER, "{tally:?}"),
        }
        kept.push(reader);
    }
    let sample = "streamgate_events_dropped_total{family=\"topology\"}";
    let counted = app.metric(sample) - f64::from(u32::try_from(dropped).expect("a few"));
    assert!(counted.abs() < 0.5, "{dropped}");
    let sample = "streamgate_streams_closed_total{family=\"topology\",reason=\"overflow\"}";
    assert!((app.metric(sample) - 3.0).abs() < 0.5);
    // A client that reads again gets every later event.
    publish(&app, topology, EVENTS..EVENTS + 1, 16_000).await;
    for reader in &mut kept {
        assert_eq!(reader.expect("note").await.data["number"], EVENTS);
    }
    drop(kept);
    app.finish().await;
}

#[tokio::test]
async fn strategy_close_connection_frees_the_slot_of_a_stalled_client() {
    let (app, operator, topology) = start(|config| {
        config.overflow.topology = Overflow::CloseConnection;
    })
    .await;
    // A stream has the configured strategy, unless the client asks for another one.
    let stalled = open(&app, &operator, topology, "").await;
    let other = open(&app, &operator, topology, "overflow=drop_oldest").await;
    publish(&app, topology, 0..EVENTS, 16_000).await;
    until("slot freed", async || app.gateway.limits.open_slots() == 1).await;
    drop((stalled, other));
    app.finish().await;
}

#[tokio::test]
async fn resuming_from_an_old_cursor_is_no_overflow() {
    let (app, operator, topology) = start(|_| ()).await;
    let mut reader = operator.watch(topology, "").await;
    let first = reader.expect("snapshot").await.id.expect("a cursor");
    drop(reader);
    publish(&app, topology, 0..EVENTS, 16_000).await;
    for strategy in ["close_connection", "drop_oldest", "drop_new"] {
        let query = format!("overflow={strategy}&last_event_id={first}");
        let mut reader = operator.watch(topology, &query).await;
        let tally = read_to(&mut reader, EVENTS).await;
        assert_eq!(tally.given, EVENTS, "{strategy}");
    }
    app.finish().await;
}

#[tokio::test]
async fn batch_larger_than_the_ring_drops_nothing_for_readers() {
    let (app, operator, topology) = start(|_| ()).await;
    let mut readers = Vec::new();
    for strategy in ["close_connection", "drop_oldest", "drop_new"].repeat(4) {
        readers.push(open(&app, &operator, topology, &format!("overflow={strategy}")).await);
    }
    let notes = (0..4 * BUFFER).map(|number| note(number, 0)).collect();
    let topic = Topic::new(Family::Topology, topology);
    app.gateway.hub.publish(topic, notes).await.expect("a commit");
    for reader in &mut readers {
        assert_eq!(read_to(reader, 4 * BUFFER).await.given, 4 * BUFFER);
    }
    drop(readers);
    app.finish().await;
}

#[tokio::test]
async fn terminal_event_is_never_dropped() {
    let (app, operator, topology) = start(|_| ()).await;
    let client = http2();
    let mut answers = Vec::new();
    for strategy in ["drop_oldest", "drop_new"] {
        let path = format!("/v1/topologies/{topology}/stream?overflow={strategy}");
        let token = operator.token.clone().expect("a token");
        let request = client.get(app.url(&path)).bearer_auth(token);
        answers.push(soon("response", request.send()).await.expect("a response"));
    }
    let open = "streamgate_streams_open{family=\"topology\"}";
    until("streams open", async || app.metric(open) > 1.0).await;
    publish(&app, topology, 0..EVENTS, 16_000).await;
    operator.tear_down(topology).await;
    for answer in answers {
        let text = soon("body", answer.text()).await.expect("a body");
        let events: Vec<&str> =
            text.lines().filter_map(|line| line.strip_prefix("event: ")).collect();
        assert!(events.contains(&"stream.dropped"), "{events:?}");
        assert!(events.ends_with(&["status", "stream.closed"]), "{events:?}");
        assert!(text.contains(r#""to":"torn_down""#));
    }
    app.finish().await;
}

#[tokio::test]
async fn unknown_overflow_strategy_is_refused() {
    let (app, operator, topology) = start(|_| ()).await;
    let path = format!("/v1/topologies/{topology}/stream?overflow=drop_some");
    let detail = operator.get(&path).await.problem(400);
    assert!(detail.contains("overflow"), "{detail}");
    app.finish().await;
}
