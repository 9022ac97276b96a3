//! Events of topologies, published without an operation.

use serde_json::json;
use streamgate::event::{Cursor, Family, NewEvent, Topic};
use uuid::Uuid;

use crate::support::{app::App, sse::Block};

pub fn note(number: u64, size: usize) -> NewEvent {
    NewEvent::new("note", &json!({ "number": number, "pad": "x".repeat(size) })).expect("a kind")
}

pub async fn publish(app: &App, topology: Uuid, numbers: std::ops::Range<u64>, size: usize) {
    let topic = Topic::new(Family::Topology, topology);
    for number in numbers {
        let events = vec![note(number, size)];
        app.gateway.hub.publish(topic.clone(), events).await.expect("an acknowledgement");
    }
}

pub fn topic_of(topology: Uuid) -> Topic {
    Topic::new(Family::Topology, topology)
}

/// The cursor of an event.
pub fn cursor_of(block: &Block) -> Cursor {
    block.id.as_deref().expect("an id").parse().expect("a cursor")
}
