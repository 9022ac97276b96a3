//! Errors over HTTP. `kind.rs` has the statuses and names. `mapping.rs` is the only file that maps an error of a lower
//! layer to a problem.
//!
//! Every response with a status above 399 is a problem document (RFC 9457), including errors of the framework. The
//! document has a stable `type` and the id of the request. The internal cause goes to the log under the same id, and
//! never to the client.

mod document;
mod documented;
mod kind;
mod mapping;
mod response;

pub(super) use document::{example, meta};
pub(super) use documented::{
    CallResult, ChangeResult, McpReadResult, McpResult, MemoryResult, ReadResult, WriteResult,
};
pub(super) use kind::Kind;
pub(super) use response::{Body, Problem, Result};
