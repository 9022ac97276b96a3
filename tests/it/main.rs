//! Everything, from the outside: a real server each, requests over real sockets.

mod app;
mod config;
mod hub;
mod server;
mod sse;
mod stream;
mod telemetry;
