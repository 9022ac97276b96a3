//! The event log: durable, per topic, and the source of truth.
//!
//! An event's sequence number is taken under the lock of its topic's row and written in the same transaction as
//! the change it tells of. So the order of commits is the order of numbers. Numbers have no gaps, because a
//! rollback returns its number. The content of a snapshot and its cursor are of the same moment. Because there
//! are no gaps, a missing number can only mean that the event was pruned. So a reader notices every gap.
//!
//! A number alone does not name an event for ever. After a restore from a backup, or a failover to a copy
//! without the newest events, other events get their numbers. So every event also has a nonce, a random number
//! that the events of one transaction share, and knows the nonce of the event before it. A cursor holds both
//! number and nonce. Two logs that have the same number with the same nonce have the same events up to there.

mod append;
mod error;
mod log;
mod position;
mod read;
mod retention;
mod topic_row;
mod write;

pub use append::{Addition, AppendError, Number, Refused};
pub use error::{LogError, Stale};
pub use log::EventLog;
pub use read::{LogState, Page, ReadLimit};
pub use retention::Retention;
