//! Code that runs around every operation. This code creates the request id, the log line, the metrics and the problem
//! documents of errors, and reads the body.

mod body;
mod caller_ids;
mod client;
mod layer;
mod origin;
mod refusal_event;
mod request_info;

pub(super) use body::Bounds;
pub(super) use layer::RequestLayer;
pub(super) use origin::{Origins, RequestOrigin};
pub(super) use request_info::RequestInfo;
