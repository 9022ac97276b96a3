//! notifications

pub mod create;
