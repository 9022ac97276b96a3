//! Events of topologies, published directly through the hub.

use serde_json::json;
use streamgate::{
    event::{Cursor, Family, NewEvent, Topic},
    event_log::Retention,
};
use uuid::Uuid;

use crate::support::{app::App, sse::Block};

/// Creates an event with a number and `size` bytes of padding.
pub fn note(number: u64, size: usize) -> NewEvent {
    NewEvent::new("note", &json!({ "number": number, "pad": "x".repeat(size) })).expect("a kind")
}

/// Publishes one event for each of these numbers, in order.
pub async fn publish(app: &App, topology: Uuid, numbers: std::ops::Range<u64>, size: usize) {
    let topic = topic_of(topology);
    for number in numbers {
        let events = vec![note(number, size)];
        app.gateway.hub.publish(topic.clone(), events).await.expect("an acknowledgement");
    }
}

/// The topic of a topology.
pub fn topic_of(topology: Uuid) -> Topic {
    Topic::new(Family::Topology, topology)
}

/// The cursor of an event.
pub fn cursor_of(block: &Block) -> Cursor {
    block.id.as_deref().expect("an id").parse().expect("a cursor")
}

/// Prunes the topics of topologies to their newest events. Returns the number of deleted events.
pub async fn prune(app: &App, events: u64) -> u64 {
    let kept = Retention { events, seconds: 1_000_000 };
    let now = app.gateway.clock.read();
    app.gateway.hub.log().prune(Family::Topology, kept, &now).await.expect("a pruning")
}
