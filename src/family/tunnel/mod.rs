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
mod policy;
mod request;
mod resource;
mod rows;
mod schema;
mod share;
mod share_schema;
mod sharing;
mod sharing_change;
mod tool_call;

pub use attend::attend;
pub use blocked::{list_blocked, unblock};
pub use client::{Client, NewClient, admit};
pub use connect::{Connected, connect};
pub use delete::delete;
pub use heartbeat::keep_alive;
pub use list::{check_exists, get, list};
pub use policy::{get_policy, set_policy};
pub use request::{Requested, request};
pub use resource::TunnelFamily;
pub use rows::topic;
pub use schema::{BlockedTunnelClient, Tunnel};
pub use share::{delete_share, list_shared, list_shares, set_share};
pub use share_schema::{NewTunnelShare, ShareRole, SharedTunnel, TunnelPolicy, TunnelShare};
pub use sharing::{Access, access};
pub use sharing_change::sharing_changed;
pub use tool_call::{Outcome, ToolCall};
