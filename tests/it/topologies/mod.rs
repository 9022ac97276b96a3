//! `/v1/topologies`.

mod create;
mod events;
mod list;
mod mutations;
mod status;
mod stream;
