//! config

pub mod sources;
