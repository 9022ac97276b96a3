//! Access tokens: their shape, and the faults for which they are refused.

mod challenge;
pub mod forge;
mod forged;
mod shape;
