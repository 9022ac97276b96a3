//! The engine of tunnels: frames, requests in flight and the handshake, without the WebSocket and without the database.
//!
//! A tunnel client connects from behind NAT and carries the messages of one MCP server. Many callers share that server.
//! `calls.rs` decides which of them gets a message of the server. Nobody waits for a slow client or a slow caller: what
//! is waiting for them is limited, and beyond the limit the request fails.

mod call;
mod caller;
mod calls;
mod connection;
mod counters;
mod error;
mod frame;
mod handshake;
mod in_flight;
pub mod message;
mod metrics;
mod outbound;
mod parked;
mod policy;
pub mod queue;
mod registry;
mod reply;
mod revocation;
mod server;
pub mod session;
mod sharing;
mod watched;

pub use call::Call;
pub use caller::{Caller, Capabilities};
pub use calls::SUBSCRIBE;
pub use connection::{Connection, Identity, SessionCheck, Settings, ToolHeaders};
pub use counters::Traffic;
pub use error::{CallError, Disconnect};
pub use frame::{READ_BUFFER_BYTES, Registration};
pub use handshake::{HandshakeError, handshake, modern_meta, probe};
pub use metrics::Metrics;
pub use outbound::Frames;
pub use parked::{Parked, ParkedCall};
pub use policy::{NameRules, Permissions, Policy};
pub use registry::Tunnels;
pub use reply::Reply;
pub use revocation::{Revocation, Revocations};
pub use server::{Era, LEGACY_VERSION, MODERN_VERSION, Server};
pub use sharing::{Sharing, SharingCache, TunnelName};
pub use watched::WatchedResources;
