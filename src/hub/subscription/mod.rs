//! One open stream, whatever it is written to: what it sends next and why it ends.

mod check;
mod connection;
mod end;
mod next;
mod overflow;
mod report;
mod subscription;
mod ticks;

pub use connection::{Client, Connection, OpenConnection};
pub use end::{End, prelude};
pub use next::{Next, Piece};
pub use subscription::Subscription;
pub use ticks::{Now, QUIET, TICKS};
