//! Reverse tunnels over HTTP: the WebSocket of the clients, and the operations of their users.

mod connect;
mod operations;
mod sharing;
mod socket;
mod upgraded;

pub(super) use connect::ConnectApi;
pub(super) use operations::TunnelsApi;
pub(super) use sharing::TunnelSharesApi;
