//! The state of a resource, for the snapshot at the start of its streams.

use poem_openapi::types::ToJSON;

use crate::event;

/// The state of a resource at one moment.
pub struct ResourceState {
    /// The data of a `snapshot` event, as JSON text.
    pub data: String,
    /// Whether the resource has ended, so that no event can follow.
    pub terminal: bool,
}

impl ResourceState {
    /// Creates a state with this snapshot as its data.
    pub fn new(snapshot: &impl ToJSON, terminal: bool) -> Self {
        Self { data: event::json(&snapshot.to_json()), terminal }
    }
}
