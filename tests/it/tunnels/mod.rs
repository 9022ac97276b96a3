//! Reverse tunnels.

mod connect;
mod delete;
mod end;
mod mcp;
mod refused;
mod request;
mod slow;
mod stream;
