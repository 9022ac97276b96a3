//! connections

pub mod list;
