//! cluster

pub mod events;
