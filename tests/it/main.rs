//! Integration tests. Each test starts its own server and sends requests over real sockets.
//!
//! Folders mirror the URLs: `tasks/claim.rs` tests `POST /v1/tasks/claim`. A test of several operations is a file in
//! the top folder. `support` contains the code that tests share.

mod access;
mod api_keys;
mod architecture;
mod audit_events;
mod auth;
mod background;
mod cache;
mod clock;
mod cluster;
mod config;
mod connections;
mod cors;
mod database;
mod disconnects;
mod docs;
mod documentation;
mod documented_statuses;
mod event_log;
mod head;
mod health;
mod hub;
mod limits;
mod mcp_sessions;
mod names;
mod notifications;
mod oauth;
mod openapi;
mod problems;
mod process;
mod prompts;
mod proxy;
mod public_url;
mod rebuild;
mod relayed_json;
mod revocation;
mod server;
mod sse;
mod stream_tokens;
mod streams;
mod support;
mod tasks;
mod telemetry;
mod topologies;
mod tunnels;
mod users;
mod waiting_claims;
