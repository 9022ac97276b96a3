//! streams

pub mod cursors;
pub mod topics;
