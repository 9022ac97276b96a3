//! Code that runs around every operation: the request's id, the log line, the metrics, the body, and every
//! error as a problem document.

mod body;
mod client;
mod layer;
mod private_keys;
mod refusal_event;
mod request_info;

pub(super) use body::{Bounds, lines};
pub(super) use layer::RequestLayer;
pub(super) use request_info::RequestInfo;
