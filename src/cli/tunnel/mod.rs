//! `streamgate tunnel`: makes a local MCP server reachable through a gateway.
//!
//! The messages of the server and of the gateway pass as they are. A server that ends is started again, and a
//! connection that ends is opened again. While the gateway is away, the server goes on, and what it sends waits.

mod backoff;
mod exec;
mod frames;
mod gateway;
mod http;
mod local;
mod run;
mod sse;
mod stdio;

pub(crate) use exec::exec;
pub(crate) use run::{TunnelArgs, run};
