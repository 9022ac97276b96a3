//! HTTP: the operations, the problems and the OpenAPI documents. Every endpoint is an operation of the documents.
//!
//! A request passes through the middleware (id, log, body, errors), the caller extractor (identity, quota, role),
//! and the operation of its resource. A stream then goes through `streams/open.rs`.

mod auth;
mod caller;
mod connections;
mod conversation;
mod docs;
mod headers;
mod health;
mod mcp_sessions;
mod middleware;
mod mutations;
mod notifications;
mod openapi;
mod problem;
pub(crate) mod prompt;
mod routes;
mod service;
mod shim;
mod stream_tokens;
mod streams;
mod tag;
mod tasks;
mod topologies;
mod users;

pub use openapi::{Documents, Version};
pub use service::{documents, endpoint, refusal};

pub(crate) use crate::family::wire::{
    Page, example_id, example_time, page_limit, wire_enum as mirror,
};
use shim::{family, lease, text};
use tag::Tag;
mod body {
    pub(super) use super::middleware::lines;
}
mod request_info {
    pub(super) use super::middleware::RequestInfo;
}
mod event_page {
    pub(super) use super::streams::{Events, events};
}
mod stream {
    pub(super) use super::streams::{Parameters, StreamResponse, open_topic};
}
mod stream_token {
    pub(super) use super::stream_tokens::*;
}
