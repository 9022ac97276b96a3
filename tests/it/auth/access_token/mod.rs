//! Access tokens: their shape, and every fault for which one is refused.

mod challenge;
mod forge;
mod forged;
mod shape;
