//! HTTP: the operations, the problems and the OpenAPI documents. Every endpoint is an operation of the documents.
//!
//! A request passes through the middleware (id, log, body, errors), the caller extractor (identity, quota, role),
//! and the operation of its resource. A stream then goes through `streams/open.rs`.

mod api_keys;
mod audit_events;
mod auth;
mod caller;
mod connections;
mod credential;
mod docs;
mod external_token;
mod headers;
mod health;
mod json;
mod latency;
mod mcp;
mod mcp_sessions;
mod me;
mod metrics;
mod middleware;
mod mutations;
mod notifications;
mod oauth;
mod openapi;
mod permissions;
mod presented_token;
mod problem;
mod prompts;
mod responses;
mod routes;
mod service;
mod session_cookie;
mod stream_tokens;
mod streams;
mod tag;
mod tasks;
mod topologies;
mod tunnels;
mod users;
mod visitor;

pub use openapi::{Documents, Version};
pub use service::{documents, endpoint, refusal};
