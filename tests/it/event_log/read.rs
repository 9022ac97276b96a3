//! Reading the event log page by page, and while it is pruned.

use entity::user::Role;
use serde_json::json;
use streamgate::{
    event::{Cursor, Family, NewEvent, Topic},
    event_log::ReadLimit,
};
use uuid::Uuid;

use crate::support::{App, SseReader, events::prune, soon};

#[tokio::test]
async fn log_page_is_bounded_in_bytes_but_never_empty() {
    let app = App::start().await;
    let topic = Topic::new(Family::Topology, Uuid::new_v4());
    let log = app.gateway.hub.log();
    // The small events come first, so that their average size suggests a page with many events.
    // Then the large ones follow.
    for (count, size) in [(40, 100), (40, 100_000), (40, 100)] {
        let event = NewEvent::new("note", &json!("x".repeat(size))).expect("a kind");
        let events = vec![event; count];
        app.gateway.hub.publish(topic.clone(), events).await.expect("a commit");
    }
    let most = ReadLimit { events: 100, bytes: 250_000 };
    let (_, page) = log.oldest(&topic, most).await.expect("a page");
    let (mut pages, mut seen) = (vec![page], Vec::new());
    loop {
        let page = pages.last().expect("a page");
        assert!(!page.events.is_empty());
        let bytes: usize = page.events.iter().map(|event| event.data.len()).sum();
        assert!(bytes <= most.bytes, "{bytes} bytes");
        seen.extend(page.events.iter().map(|event| event.cursor.seq));
        let cursor = page.events.last().expect("an event").cursor;
        if !page.has_more {
            break;
        }
        pages.push(log.after(&topic, cursor, most).await.expect("a page"));
    }
    assert_eq!(seen, (1..=120).collect::<Vec<i64>>());
    assert!(pages.len() < 30, "{} pages", pages.len());
    // A single event is read even if it is larger than the bound.
    let little = ReadLimit { bytes: 1_000, ..most };
    let mut events = pages.iter().flat_map(|page| &page.events);
    let fortieth = events.find(|event| event.cursor.seq == 40).expect("an event").cursor;
    let page = log.after(&topic, fortieth, little).await.expect("a page");
    assert_eq!(page.events.len(), 1);
    app.finish().await;
}

/// Kind and cursor of the next event. A snapshot instead of an event must have the reset reason
/// `pruned`.
async fn next_position(reader: &mut SseReader) -> (String, Cursor) {
    let block = reader.next().await.expect("an event");
    if block.event == "snapshot" {
        assert_eq!(block.data["reset"], "pruned", "{}", block.text);
    }
    (block.event, block.id.expect("an id").parse().expect("a cursor"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resuming_while_the_log_is_pruned_skips_nothing_silently() {
    const EVENTS: i64 = 600;
    let app = App::with(|config| config.streams.buffer_events = 4).await;
    let operator = app.caller(Role::Operator).await;
    let topology = app.active_topology(&operator).await;
    let topic = Topic::new(Family::Topology, topology);
    let mut reader = operator.watch(topology, "").await;
    let snapshot = reader.expect("snapshot").await;
    let mut cursor: Cursor = snapshot.id.expect("an id").parse().expect("a cursor");
    let last = cursor.seq + EVENTS;
    let publish = async {
        for number in 0..EVENTS {
            let event = NewEvent::new("note", &json!(number)).expect("a kind");
            app.gateway.hub.publish(topic.clone(), vec![event]).await.expect("a commit");
            if number % 7 == 0 {
                prune(&app, 5).await;
            }
        }
    };
    let follow = async {
        let mut resets = 0;
        let mut seen = 0;
        let mut had = vec![cursor];
        while cursor.seq < last {
            // After every 20 events, the client reconnects with an older cursor.
            if seen % 20 == 19 {
                let long = cursor.seq - seen % 9;
                let ago = had.iter().rfind(|cursor| cursor.seq <= long);
                let ago = *ago.unwrap_or(&cursor);
                reader = operator.watch(topology, &format!("last_event_id={ago}")).await;
                cursor = ago;
            }
            let (kind, next) = next_position(&mut reader).await;
            if kind == "snapshot" {
                assert!(next.seq >= cursor.seq);
                resets += 1;
            } else {
                assert_eq!(next.seq, cursor.seq + 1, "events were skipped silently");
            }
            cursor = next;
            had.push(cursor);
            seen += 1;
        }
        (resets, reader)
    };
    let (resets, reader) =
        soon("all events", Box::pin(async { tokio::join!(follow, publish).0 })).await;
    assert!(resets > 0, "no client resumed from a pruned event");
    drop(reader);
    app.finish().await;
}
