//! The bus carries messages between the gateways of a cluster.
//!
//! The bus only saves time. Everything that a message reports is already in the database. So a bus may lose, repeat or
//! reorder messages, or be down. Gateways read the database once per heartbeat.

mod in_process;
mod message_bus;

pub use in_process::InProcessBus;
pub use message_bus::{Bus, BusError, Message};
