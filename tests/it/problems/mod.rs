//! problems

pub mod body;
pub mod head;
