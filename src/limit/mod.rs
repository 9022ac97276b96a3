//! Limits: quotas are rates (by `governor`), slots are numbers at the same time.
//!
//! Each quota is one variant of [`Quota`], which carries its name on the wire, its key in the configuration,
//! its default and its message. A slot is one open stream of one user. It is taken before the response starts,
//! and freed when the value is dropped. Connections are counted in `connections.rs`.

mod connections;
mod customer;
mod quotas;

pub use connections::{Admission, ConnectionLimits, Connections, Full, Origin};
pub use customer::customer;
pub use quotas::{Headers, Key, Limits, Quota, Refused, SLOTS, Settings, Slot, jittered};
