//! The event log as others read it.

use serde_json::json;
use streamgate::{
    event::{Cursor, Family, NewEvent, Topic},
    event_log::Most,
};
use uuid::Uuid;

use crate::app::App;

#[tokio::test]
async fn what_is_read_at_once_is_bounded_in_bytes_and_never_empty() {
    let app = App::start().await;
    let topic = Topic::new(Family::Topology, Uuid::new_v4());
    let log = app.gateway.hub.log();
    // Small ones, so that it looks as if more would fit, and then large ones.
    for (count, size) in [(40, 100), (40, 100_000), (40, 100)] {
        let event = NewEvent::new("note", &json!("x".repeat(size))).expect("a kind");
        let events = vec![event; count];
        app.gateway.hub.publish(topic.clone(), events).await.expect("a commit");
    }
    let most = Most { events: 100, bytes: 250_000 };
    let (start, page) = log.oldest(&topic, most).await.expect("a page");
    let (mut cursor, mut pages, mut seen) = (start, vec![page], Vec::new());
    loop {
        let page = pages.last().expect("a page");
        assert!(!page.events.is_empty());
        let bytes: usize = page.events.iter().map(|event| event.data.len()).sum();
        assert!(bytes <= most.bytes, "{bytes} bytes");
        seen.extend(page.events.iter().map(|event| event.cursor.seq));
        cursor = Cursor { seq: seen[seen.len() - 1], ..cursor };
        if !page.has_more {
            break;
        }
        pages.push(log.after(&topic, cursor, most).await.expect("a page"));
    }
    assert_eq!(seen, (1..=120).collect::<Vec<i64>>());
    assert!(pages.len() < 30, "{} pages", pages.len());
    // One event that is larger than that is read all the same.
    let little = Most { bytes: 1_000, ..most };
    let page = log.after(&topic, Cursor { seq: 40, ..start }, little).await.expect("a page");
    assert_eq!(page.events.len(), 1);
    app.finish().await;
}
