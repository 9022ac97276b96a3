//! Reverse tunnels.

mod connect;
mod delete;
mod end;
mod refused;
mod request;
mod stream;
