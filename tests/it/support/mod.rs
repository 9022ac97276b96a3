//! Code that tests share: a gateway, its clients, and functions for each family.

pub mod app;
pub mod auth;
pub mod browser;
pub mod caller;
pub mod cluster;
pub mod connection;
pub mod disk;
pub mod events;
pub mod health;
pub mod issuer;
pub mod log;
pub mod mcp;
pub mod mcp_session;
pub mod memory;
pub mod mutation;
pub mod notification;
pub mod openapi;
pub mod prefix_proxy;
pub mod process;
pub mod prompt;
pub mod provider;
pub mod raw;
pub mod rebuilt;
pub mod sse;
pub mod store;
pub mod stream_token;
pub mod streams;
pub mod task;
pub mod time;
pub mod tls;
pub mod topology;
pub mod tunnel;
pub mod user;
pub mod waiting;

pub use self::{
    app::{App, PASSWORD},
    caller::{Answer, Caller, connect_with_small_buffer, http2, id_of},
    sse::{Block, SseReader},
    store::Store,
    waiting::{PATIENCE, soon, until},
};
