//! The event log: durable, per topic, and the source of truth.
//!
//! An event gets its sequence number under the lock of its topic's row, in the transaction of the change that it
//! reports. So the numbers have the order of the commits, and a snapshot and its cursor are of the same moment. The
//! numbers have no gaps, because a rollback also undoes the numbers. So a reader notices every missing event, and an
//! event can only be missing because it was pruned.
//!
//! A number alone does not identify an event for ever. After a restore from a backup, or a failover to a copy without
//! the newest events, other events get the same numbers. So every event also has a nonce, a random number that the
//! events of one transaction share. Every event stores the nonce of the event before it. A cursor contains both number
//! and nonce. Two logs that have the same number with the same nonce have the same events up to there.

mod append;
mod error;
mod log;
mod position;
mod read;
mod retention;
mod topic_row;
mod write;

pub use append::{AppendError, AppendRefused, AssignedPositions, NewEvents};
pub use error::{LogError, StaleCursor};
pub use log::EventLog;
pub use read::{LogState, Page, ReadLimit};
pub use retention::Retention;
