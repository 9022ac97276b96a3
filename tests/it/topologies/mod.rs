//! topologies

pub mod mutations;
pub mod status;
