//! Refusals that a browser's `EventSource` can read.

use std::time::Duration;

use poem::{Body, Request, Response, http::StatusCode};
use uuid::Uuid;

use crate::{
    api::{problem::Problem, streams::set_stream_headers},
    event,
    limit::jittered,
};

/// Whether the client asked for refusals as events.
pub(super) fn wants_event(request: &Request) -> bool {
    let query: Vec<(String, String)> = request.params().unwrap_or_default();
    query.iter().any(|(name, value)| name == "on_refusal" && value == "event")
}

/// A refusal as a stream of one `error` event. After any other status than 200, an `EventSource` closes and does not
/// tell the page the reason. The long `retry` prevents a reconnect at once.
pub(super) fn refusal_event(problem: &Problem, id: Uuid, retry: Duration) -> Response {
    let mut response = problem.head();
    response.set_status(StatusCode::OK);
    set_stream_headers(&mut response);
    let block = event::block(None, "error", &problem.body(id));
    let retry = format!("retry: {}\n", jittered(retry * 10).as_millis());
    response.set_body(Body::from_bytes([retry.as_bytes(), &block].concat().into()));
    response
}
