//! The hub: live delivery in one process.
//!
//! A topic *moves* when its ring gets an event or begins another history. An event takes this path from the publisher
//! to the socket:
//!
//! 1. `hub.rs`, `publish.rs`: a transaction commits.
//! 2. `delivery.rs`: the events are encoded once, and put into the rings of their topics (`topic/live_topic.rs`).
//! 3. `fanout/subscribers.rs`: if the topic has few subscribers, the task that delivers the event writes to them. If
//!    it has many, the reactors write to them (`fanout/reactor.rs`).
//! 4. `fanout/shard.rs`: each subscriber gets the frames that follow its position.
//!
//! `fanout/subscriber.rs` drives the streams of a topic with few subscribers. It also drives a stream that needs more
//! than a write, or that has not kept up. The state machine of the stream (`subscription/subscription.rs`) returns the
//! next step.
//!
//! No events are queued for a single subscriber. A subscriber that is behind the ring reads the log
//! (`topic/catch_up.rs`). A ring that is behind the log also reads the log (`topic/fill.rs`). So clients get every
//! event, even if the bus loses messages. A client can choose to drop events instead (`subscription/overflow.rs`).
//!
//! `open.rs` opens a stream. `merge.rs` merges several streams into a stream of many topics.

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
pub use delivery::Delivery;
pub use fanout::{Handover, PendingSubscription, Subscribers};
pub use hub::Hub;
pub use merge::MergedStream;
pub use publish::PublishError;
pub use request::{Bounds, Open, OpenMany, Opened, RequestedTopic, Resume, TopicAccess};
pub use subscription::{Client, End, OpenConnection};
pub use topic::{Snapshot, Source, TopicProperties};
