//! The response of a stream operation.

use std::io;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use poem::{
    Body, IntoResponse, Response,
    http::{HeaderName, HeaderValue, StatusCode, header},
};
use poem_openapi::{
    ApiResponse,
    registry::{MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry},
};

use crate::{
    api::{
        headers::{RATELIMIT, RATELIMIT_POLICY},
        problem::{self, Kind},
    },
    hub::{Handover, MergedStream, PendingSubscription},
    limit::Headers,
};

/// The media type of streams.
pub(in crate::api) const EVENT_STREAM: &str = "text/event-stream";

/// The response of a stream operation. The server chooses whether a reactor or the response body sends the events.
pub(in crate::api) enum StreamResponse {
    /// 200: the events of one topic.
    Open(Box<PendingSubscription>, Headers),
    /// 200: the events of several topics, always sent as the response body.
    Many(Box<MergedStream>, Headers),
    /// 200 to a HEAD request: the head of the response to a GET. No stream is opened.
    Head,
    /// 204: no event can follow, so the client must not reconnect.
    Complete,
}

impl IntoResponse for StreamResponse {
    fn into_response(self) -> Response {
        let mut response = Response::default();
        let limits = match self {
            Self::Open(subscription, limits) => {
                response.extensions_mut().insert(Handover::new(*subscription));
                Some(limits)
            }
            Self::Many(merge, limits) => {
                let events = merge.into_body().map(Ok::<_, io::Error>);
                response.set_body(Body::from_bytes_stream(events));
                Some(limits)
            }
            Self::Head => {
                // The response to a GET has no known length, so this has none.
                response.set_body(Body::from_bytes_stream(stream::empty::<io::Result<Bytes>>()));
                None
            }
            Self::Complete => {
                response.set_status(StatusCode::NO_CONTENT);
                return response;
            }
        };
        set_stream_headers(&mut response);
        for (name, value) in limits
            .into_iter()
            .flat_map(|limits| [(RATELIMIT_POLICY, limits.policy), (RATELIMIT, limits.limit)])
        {
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }
}

/// Sets the headers of a stream. They tell proxies not to cache, buffer or compress it.
pub(in crate::api) fn set_stream_headers(response: &mut Response) {
    for (name, value) in [
        (header::CONTENT_TYPE, EVENT_STREAM),
        (header::CACHE_CONTROL, "no-store, no-transform"),
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
}

impl ApiResponse for StreamResponse {
    fn meta() -> MetaResponses {
        let limits = problem::meta(Kind::TooManyRequests).headers;
        let limits = limits.into_iter().filter(|header| header.name != "Retry-After").collect();
        MetaResponses {
            responses: vec![
                MetaResponse {
                    description: "Server-sent events: the events after the cursor, or a snapshot and the \
                                  events after the snapshot. The data of an event or a snapshot has at most \
                                  500,000 bytes. Comments keep an idle connection open.",
                    status: Some(200),
                    status_range: None,
                    content: vec![MetaMediaType {
                        content_type: EVENT_STREAM,
                        // A client gets the text, or the parsed `data` of each event. No one type is true for both.
                        schema: MetaSchemaRef::Inline(Box::new(MetaSchema::ANY)),
                    }],
                    headers: limits,
                },
                MetaResponse {
                    description: "The client has the last event, and no event can follow. An `EventSource` \
                                  does not reconnect after this status.",
                    status: Some(204),
                    status_range: None,
                    content: Vec::new(),
                    headers: Vec::new(),
                },
            ],
        }
    }

    fn register(_registry: &mut Registry) {}
}
