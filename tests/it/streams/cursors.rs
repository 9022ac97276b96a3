//! One cursor for many topics: each topic resumes at its own position.

use std::{collections::HashMap, sync::Arc};

use serde_json::json;
use streamgate::{
    bus::InProcessBus,
    event::{Family, Topic},
};
use uuid::Uuid;

use crate::support::{
    App, SseReader, Store, connect_with_small_buffer,
    events::{note, publish},
    id_of, soon,
    streams::{about, operator_with_topologies, path, snapshots, watch},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cursor_of_many_topics_survives_restarts_while_others_write() {
    const EVENTS: u64 = 120;
    let store = Store::new().await;
    let bus = Arc::new(InProcessBus::default());
    let small = |config: &mut streamgate::config::Config| config.streams.buffer_events = 16;
    let writing = App::on(store.clone(), bus.clone(), small).await;
    let (operator, topologies) = operator_with_topologies(&writing, 3).await;
    let mut next: HashMap<Uuid, u64> = topologies.iter().map(|id| (*id, 0)).collect();
    let mut cursor = String::new();
    let hub = Arc::clone(&writing.gateway.hub);
    let topics = topologies.clone();
    let (started, begun) = tokio::sync::oneshot::channel();
    let writer = tokio::spawn(async move {
        begun.await.expect("a start");
        for number in 0..EVENTS {
            for id in &topics {
                let events = vec![note(number, 100)];
                hub.publish(Topic::new(Family::Topology, *id), events).await.expect("a commit");
            }
            tokio::task::yield_now().await;
        }
    });
    let mut started = Some(started);
    for visit in 0..4 {
        let app = App::on(store.clone(), bus.clone(), small).await;
        let here = app.here(&operator);
        let mut reader = watch(&here, &topologies, &format!("last_event_id={cursor}")).await;
        if visit == 0 {
            cursor = snapshots(&mut reader, &topologies).await;
        }
        if let Some(started) = started.take() {
            started.send(()).expect("a writer");
        }
        let mut seen = 0;
        while next.values().any(|next| *next < EVENTS) {
            let block = soon("event", reader.next()).await.expect("an event");
            if block.event == "stream.closed" {
                assert_eq!(block.data, json!({ "reason": "shutdown" }));
                break;
            }
            assert_eq!(block.event, "note", "{}", block.text);
            let next = next.get_mut(&about(&block)).expect("a watched topic");
            assert_eq!(block.data["data"]["number"], *next, "{}", block.text);
            *next += 1;
            cursor = block.id.expect("a cursor");
            seen += 1;
            if seen == 50 && visit < 3 {
                app.begin_stop();
            }
        }
        drop(reader);
        app.finish().await;
    }
    writer.await.expect("no panic");
    assert!(next.values().all(|next| *next == EVENTS), "{next:?}");
    writing.finish().await;
}

#[tokio::test]
async fn topics_can_be_added_and_removed_under_one_cursor() {
    let app = App::start().await;
    let (operator, topologies) = operator_with_topologies(&app, 3).await;
    let mut single = operator.watch(topologies[0], "").await;
    let plain = single.expect("snapshot").await.id.expect("a cursor");
    drop(single);
    publish(&app, topologies[0], 0..1, 10).await;
    // The cursor of one topic, in the header, is valid for several topics.
    let last = format!("Last-Event-ID: {plain}\r\n");
    let mut reader = operator.stream(&path(&topologies[..2], ""), &last).await;
    let mut blocks = HashMap::new();
    for _ in 0..2 {
        let block = reader.next().await.expect("an event");
        blocks.insert(about(&block), block);
    }
    assert_eq!(blocks[&topologies[0]].event, "note");
    assert_eq!(blocks[&topologies[1]].event, "snapshot");
    assert!(blocks[&topologies[1]].data["data"]["reset"].is_null());
    // Each id holds the position of every topic.
    publish(&app, topologies[1], 0..1, 10).await;
    let cursor = reader.expect("note").await.id.expect("a cursor");
    assert_eq!(cursor.split('.').count(), 2);
    drop(reader);
    publish(&app, topologies[1], 1..2, 10).await;
    let query = format!("last_event_id={cursor}");
    let mut reader = watch(&operator, &topologies[1..], &query).await;
    let mut kinds = Vec::new();
    for _ in 0..2 {
        let block = reader.next().await.expect("an event");
        kinds.push((about(&block), block.event));
    }
    kinds.sort();
    let mut expected =
        vec![(topologies[1], "note".to_owned()), (topologies[2], "snapshot".to_owned())];
    expected.sort();
    assert_eq!(kinds, expected);
    drop(reader);
    for garbage in ["garbage", "1-1-1.", &["1-1-1"; 51].join(".")] {
        let query = format!("last_event_id={garbage}");
        let mut reader = watch(&operator, &topologies, &query).await;
        for _ in &topologies {
            let block = reader.expect("snapshot").await;
            assert_eq!(block.data["data"]["reset"], "unknown_cursor", "{garbage}");
        }
    }
    app.finish().await;
}

#[tokio::test]
async fn slow_reader_loses_nothing_of_any_topic() {
    let app = App::with(|config| config.streams.buffer_events = 8).await;
    let (operator, topologies) = operator_with_topologies(&app, 2).await;
    let mut slow = watch(&operator, &topologies, "").await;
    snapshots(&mut slow, &topologies).await;
    // 24 MB, which is more than the buffers of the loopback interface hold.
    for number in 0..200 {
        for id in &topologies {
            publish(&app, *id, number..number + 1, 60_000).await;
        }
    }
    let mut next: HashMap<Uuid, u64> = topologies.iter().map(|id| (*id, 0)).collect();
    for _ in 0..400 {
        let block = slow.expect("note").await;
        let next = next.get_mut(&about(&block)).expect("a watched topic");
        assert_eq!(block.data["data"]["number"], *next);
        *next += 1;
    }
    assert!(app.metric("streamgate_catch_ups_total{family=\"topology\"}") > 0.0);
    drop(slow);
    app.finish().await;
}

#[tokio::test]
async fn dropped_events_are_announced_with_their_topic() {
    let app = App::with(|config| config.streams.buffer_events = 8).await;
    let (operator, topologies) = operator_with_topologies(&app, 2).await;
    let mut slow = watch(&operator, &topologies, "overflow=drop_oldest").await;
    snapshots(&mut slow, &topologies).await;
    publish(&app, topologies[0], 0..300, 60_000).await;
    publish(&app, topologies[1], 0..1, 10).await;
    let (mut given, mut dropped, mut others) = (0, 0, 0);
    while given + dropped < 300 || others < 1 {
        let block = soon("event", slow.next()).await.expect("an event");
        assert!(block.id.is_some());
        if about(&block) == topologies[1] {
            others += 1;
        } else if block.event == "stream.dropped" {
            dropped += block.data["data"]["count"].as_u64().expect("a count");
        } else {
            assert_eq!(block.data["data"]["number"], given + dropped);
            given += 1;
        }
    }
    assert!(dropped > 0);
    drop(slow);
    app.finish().await;
}

#[tokio::test]
async fn events_of_ended_topics_reach_a_slow_reader() {
    let app = App::start().await;
    let (operator, _) = operator_with_topologies(&app, 0).await;
    let mut topologies = Vec::new();
    for number in 0..30 {
        let config = json!({ "pad": "x".repeat(16_000) });
        let new = json!({ "name": format!("ended-{number}"), "config": config });
        let id = id_of(&operator.post("/v1/topologies", new).await.ok());
        operator.set_status(id, "torn_down").await.ok();
        topologies.push(id);
    }
    let socket = connect_with_small_buffer(app.address).await;
    let token = operator.token.as_deref().expect("a token");
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n",
        path(&topologies, "")
    );
    let mut reader = SseReader::on(socket, &request).await;
    // All topics have ended, and the client reads nothing.
    app.slots_freed().await;
    let (mut snapshots, mut cursor) = (Vec::new(), String::new());
    loop {
        while let Some(block) = soon("event or end", reader.next()).await {
            match block.event.as_str() {
                "snapshot" => snapshots.push(about(&block)),
                "topic.closed" => assert!(snapshots.contains(&about(&block))),
                end => assert_eq!(end, "stream.closed"),
            }
            cursor = block.id.unwrap_or(cursor);
        }
        if snapshots.len() >= topologies.len() {
            break;
        }
        assert!(!reader.seen.contains("stream.closed"), "{} snapshots", snapshots.len());
        reader = watch(&operator, &topologies, &format!("last_event_id={cursor}")).await;
    }
    snapshots.sort();
    topologies.sort();
    assert_eq!(snapshots, topologies, "each once");
    app.finish().await;
}
