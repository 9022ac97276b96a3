//! MCP sessions: JSON-RPC messages between a user's client and an agent, in the order of publication.

mod close;
mod create;
mod end;
mod events;
mod get;
mod list;
mod publish;
mod resource;
mod rows;
mod schema;
mod transport;

pub use close::{close, close_disconnected};
pub use create::create;
pub use end::close_for_tunnel;
pub use get::get;
pub use list::list;
pub use publish::publish;
pub use resource::McpSessionFamily;
pub use rows::topic;
pub use schema::{McpSession, NewMcpSession, PublishedMessage};
pub use transport::{MAX_CLIENT, StreamReader, create_for_tunnel, find_client, transport_event};
