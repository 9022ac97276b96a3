//! event_log

pub mod read;
pub mod replaced;
