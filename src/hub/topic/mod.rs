//! One live topic: its newest events in memory, its snapshot, and its reads of the event log.
//!
//! This module does not depend on subscriptions. A topic that has moved tells its [`Observer`].

mod catch_up;
mod current_snapshot;
mod fill;
mod frame;
mod live_topic;
mod ring;
mod snapshot;
mod table;

pub use catch_up::Missed;
pub use frame::{Frame, LAST_CHUNK, Run, chunk, payload};
pub use live_topic::{LiveTopic, Observer, Pushed};
pub use ring::{KnownEvents, Position, Pulled};
pub use snapshot::{Snapshot, SnapshotFrame, Source, TopicProperties};
pub use table::TopicTable;
