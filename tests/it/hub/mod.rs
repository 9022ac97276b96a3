//! hub

pub mod delivery_paths;
pub mod order;
pub mod overflow;
pub mod publish;
pub mod slow_clients;
