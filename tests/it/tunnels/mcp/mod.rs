//! The MCP endpoint of a tunnel.

mod access;
mod audit;
mod eras;
mod http_sse;
mod isolation;
mod legacy;
mod modern;
mod policy;
mod resume;
mod revoked;
mod shared;
