//! users

pub mod delete;
pub mod update;
