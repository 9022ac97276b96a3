//! One open stream, without its socket: its next step, and the reason for its end.

mod check;
mod connection;
mod end;
mod next;
mod overflow;
mod report;
#[expect(clippy::module_inception, reason = "the file of the type `Subscription`")]
mod subscription;
mod ticks;

pub use check::{EXPIRING, HEARTBEAT};
pub use connection::{Client, Connection, OpenConnection};
pub use end::{End, retry_line};
pub use next::{Next, Piece};
pub use subscription::Subscription;
pub use ticks::{CheckTime, SILENT_TICKS, TICKS_PER_HEARTBEAT};
