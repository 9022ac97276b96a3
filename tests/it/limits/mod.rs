//! limits

pub mod connections;
pub mod quotas;
pub mod slots;
