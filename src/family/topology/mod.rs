//! Topologies: networks that operators create and change, and that every user may watch.
//!
//! A change of the status is a transition. `status.rs` checks each transition, and an audit trail records it. Operators
//! enqueue mutations, which workers claim and report (`mutation/`).

mod create;
mod events;
mod list;
pub mod mutation;
mod resource;
mod rows;
mod schema;
mod status;
mod update_status;

pub use create::create;
pub use list::{get, list, list_transitions};
pub use resource::TopologyFamily;
pub use rows::topic;
pub use schema::{NewStatus, NewTopology, Topology, TopologyStatus, Transition};
pub use update_status::update_status;
