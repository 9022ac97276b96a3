//! clock

pub mod deletion;
pub mod leases;
