//! The hub: live delivery in one process.
//!
//! The way of an event from the publisher to the socket:
//!
//! 1. `hub.rs`, `publish.rs`: a transaction commits.
//! 2. `delivery.rs`: its events are encoded once and put into the rings of their topics
//!    (`topic/live_topic.rs`).
//! 3. `fanout/subscribers.rs`: a topic that has moved writes to a few subscribers itself, and has
//!    the reactors write to many (`fanout/reactor.rs`).
//! 4. `fanout/shard.rs`: each subscriber is sent the frames that follow its position.
//!
//! `fanout/subscriber.rs` drives a stream that needs more than a write, that has not kept up, or
//! that is one of a few. The stream's state machine, `subscription/subscription.rs`, says what
//! comes next.
//!
//! Nothing is queued for a subscriber. If a subscriber is behind the ring, or a ring behind the
//! log, the log is read (`topic/catch_up.rs`, `topic/fill.rs`). So the bus may lose anything
//! without a client noticing. A client can choose to drop events instead
//! (`subscription/overflow.rs`).
//!
//! `open.rs` opens a stream. A stream of many topics merges such streams (`merge.rs`).

mod context;
mod delivery;
mod fanout;
#[expect(clippy::module_inception, reason = "the file of the type `Hub`")]
mod hub;
mod merge;
mod open;
mod publish;
mod request;
mod subscription;
mod topic;

pub use context::Settings;
pub use fanout::{Handover, PendingSubscription};
pub use hub::Hub;
pub use merge::MergedStream;
pub use publish::PublishError;
pub use request::{Bounds, Open, OpenMany, Opened, RequestedTopic, Resume, TopicAccess};
pub use subscription::{Client, OpenConnection};
pub use topic::{Snapshot, Source, Subject};
