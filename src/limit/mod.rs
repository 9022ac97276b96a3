//! Limits of users and addresses. A quota limits a rate (with `governor`), and slots limit what is open
//! at the same time: streams and tunnel clients.
//!
//! Each quota is one variant of [`Quota`], which carries its name on the wire, its key in the configuration,
//! its default and its message. A slot is one open stream or one tunnel client of one user. The slot is taken before
//! the response starts, and released when the [`Slot`] is dropped. `connections.rs` counts connections.

mod client_network;
mod connections;
mod quotas;
mod rate;
mod refused;
mod slots;

pub use client_network::client_network;
pub use connections::{
    ClientConnection, ConnectionLimit, ConnectionLimits, ConnectionPermit, Connections,
};
pub use quotas::{Key, Limits, Quota, Settings, Usage};
pub use refused::{Headers, Refused, jittered};
pub use slots::{RESPONSES, STREAMS, Slot, TUNNELS};
