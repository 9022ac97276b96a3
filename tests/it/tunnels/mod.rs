//! Reverse tunnels.

mod connect;
mod delete;
mod end;
mod mcp;
mod refused;
mod request;
mod shares;
mod slow;
mod stream;
