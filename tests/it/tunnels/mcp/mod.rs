//! The MCP endpoint of a tunnel.

mod access;
mod eras;
mod isolation;
mod legacy;
mod modern;
mod resume;
