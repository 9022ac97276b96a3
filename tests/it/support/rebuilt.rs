//! Rebuilds a resource from its stream: from the snapshot and the events after it.

use serde_json::Value;

use crate::support::{
    caller::Caller,
    sse::{Block, SseReader},
    waiting::soon,
};

/// The state that a subscriber has built from a stream.
pub struct Rebuilt {
    pub reader: SseReader,
    /// The `id` of the newest event that was read.
    pub cursor: String,
    /// The state.
    pub state: Value,
    /// Number of events after the snapshot.
    pub events: usize,
}

impl Rebuilt {
    /// Starts with the part of the snapshot at this JSON pointer (RFC 6901).
    pub async fn from(mut reader: SseReader, part: &str) -> Self {
        let mut snapshot = reader.expect("snapshot").await;
        let cursor = snapshot.id.expect("an id");
        let state = snapshot.data.pointer_mut(part).expect("a state").take();
        Self { reader, cursor, state, events: 0 }
    }

    /// Reads up to the newest event of the event page at this path. `apply` applies one event to the state.
    pub async fn catch_up(&mut self, caller: &Caller, path: &str, apply: fn(&mut Value, &Block)) {
        loop {
            let page = caller.get(&format!("{path}?limit=200&after={}", self.cursor)).await.ok();
            while page["next"] != self.cursor {
                let event = soon("event", self.reader.next()).await.expect("no end");
                self.cursor = event.id.clone().expect("an id");
                apply(&mut self.state, &event);
                self.events += 1;
            }
            if page["has_more"] == false {
                break;
            }
        }
    }
}
