//! Fan-out: writing one event to all subscribers of its topic.
//!
//! Each reactor is a thread that holds the sockets of its share of the open streams (`reactor.rs`). Other threads send
//! it requests through its handle (`handle.rs`), which does not depend on subscribers. The subscribers of a topic are
//! divided into shards, one for each reactor (`subscribers.rs`, `shard.rs`).

mod body;
mod checks;
mod handle;
mod pending;
mod reactor;
mod send;
mod shard;
mod sink;
mod subscriber;
mod subscribers;

pub use body::Body;
pub use pending::{Handover, PendingSubscription};
pub use reactor::Reactors;
pub use subscribers::Subscribers;
