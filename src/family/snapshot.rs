//! The state of a resource, as the snapshot that its streams start with.

use poem_openapi::types::ToJSON;

use crate::event;

/// The state of a resource at one moment.
pub struct ResourceState {
    /// The data of a `snapshot` event, as JSON text.
    pub data: String,
    /// Whether no event can follow.
    pub terminal: bool,
}

impl ResourceState {
    /// The state with this snapshot as its data.
    pub fn new(snapshot: &impl ToJSON, terminal: bool) -> Self {
        Self { data: event::json(&snapshot.to_json()), terminal }
    }
}
