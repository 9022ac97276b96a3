//! topologies/mutations

pub mod claim;
pub mod lease;
