//! Errors on the wire: problem documents (RFC 9457), the framework's own errors included.

mod answers;
mod bodies;
mod fields;
mod head;
mod json;
mod paths;
