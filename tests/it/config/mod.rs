//! The configuration.

mod documentation;
mod load;
mod refused;
mod sources;
