//! The event log: durable, per topic, the truth.
//!
//! An event's sequence number is taken under the lock of its topic's row and written in the same
//! transaction as the change it tells of. So the order of commits is the order of numbers, numbers
//! have no gaps (a rollback gives its number back), and what a snapshot shows and where its cursor
//! stands are one moment. Because there are no gaps, a missing number can only mean that pruning
//! has taken it, and a reader can never skip without noticing.
//!
//! A number alone does not name an event for ever. When the database is restored from a backup, or
//! fails over to a copy that lacked the newest events, their numbers are given to others. So every
//! event also has a nonce, a random number that the events of one transaction share, and knows the
//! nonce of the event before it. A cursor holds both number and nonce. Two logs that have the same
//! number with the same nonce have the same events up to there.

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
pub use read::{Most, Page, Standing};
pub use retention::Retention;
