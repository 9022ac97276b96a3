//! Reverse tunnels: MCP servers behind NAT, whose clients connect to the gateway.
//!
//! A tunnel is a row that stays when its client is away. `crate::tunnel` has the engine, which knows no database: the
//! requests in flight and the handshake.

mod attend;
mod blocked;
mod client;
mod connect;
mod delete;
mod end;
mod events;
mod heartbeat;
mod list;
mod request;
mod resource;
mod rows;
mod schema;

pub use attend::attend;
pub use blocked::{list_blocked, unblock};
pub use client::{Client, NewClient, admit};
pub use connect::{Connected, connect};
pub use delete::delete;
pub use heartbeat::keep_alive;
pub use list::{check_exists, find_by_name, get, list};
pub use request::{Requested, request};
pub use resource::TunnelFamily;
pub use rows::topic;
pub use schema::{BlockedTunnelClient, Tunnel};
