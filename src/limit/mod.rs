//! Limits: how often (quotas, by `governor`) and how many at once (slots).
//!
//! Each quota is one variant of [`Quota`], which carries its name on the wire, its key in the
//! configuration, its default and its message. A slot is one open stream of one user: taken before the response
//! starts, freed when the value is dropped, on whatever way that happens. Connections are counted in
//! `connections.rs`.

mod connections;
mod customer;
mod quotas;

pub use connections::{Admission, ConnectionLimits, Connections, Full, Origin};
pub use customer::customer;
pub use quotas::{Headers, Key, Limits, Quota, Refused, SLOTS, Settings, Slot, jittered};
