//! The state of a resource, for the snapshot at the start of its streams.

use poem_openapi::types::ToJSON;

use crate::{
    event::{self, MAX_DATA},
    json::Relayed,
};

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
        Self { data: text(snapshot), terminal }
    }

    /// Creates a state like [`Self::new`]. While the data has more than [`MAX_DATA`] bytes, `shorten` gets the number
    /// of bytes to remove from the snapshot. It returns false if the snapshot has nothing that can be left out.
    pub fn with_limit<S: ToJSON>(
        mut snapshot: S,
        terminal: bool,
        shorten: impl Fn(&mut S, usize) -> bool,
    ) -> Self {
        loop {
            let state = Self::new(&snapshot, terminal);
            let excess = state.data.len().saturating_sub(MAX_DATA);
            if excess == 0 || !shorten(&mut snapshot, excess) {
                return state;
            }
        }
    }
}

/// Number of items, in this order, that have at least `bytes` bytes as JSON together. All items if they have fewer.
pub fn count_with_size<'a, T: ToJSON + 'a>(
    items: impl Iterator<Item = &'a T>,
    bytes: usize,
) -> usize {
    let mut size = 0;
    let before = |item: &&T| {
        let is_before = size < bytes;
        size += text(*item).len();
        is_before
    };
    items.take_while(before).count()
}

/// The JSON text of a snapshot or of a part of it, as streams send it.
fn text(value: &impl ToJSON) -> String {
    event::json(&Relayed(&value.to_json().unwrap_or_default()))
}
