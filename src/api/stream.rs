//! Streams on the wire: what every family's `GET .../stream` shares.

pub(super) mod parameters;

use std::{io, sync::Arc};

use futures_util::StreamExt;
use poem::{
    Body, IntoResponse, Response,
    http::{HeaderName, HeaderValue, header},
};
use poem_openapi::{
    ApiResponse, Object,
    registry::{MetaMediaType, MetaResponse, MetaResponses, MetaSchemaRef, Registry},
    types::{Example, Type},
};
use uuid::Uuid;

use super::{
    caller::{Minimum, StreamCaller},
    problem::{self, Kind, Problem, Result},
};
use crate::{
    event::Topic,
    family::{self, EventKind, SubscriptionAccess, schema},
    gateway::Gateway,
    hub::{Handover, Merge, Open, OpenMany, Opener, Opening, Subject, Subscription, Wanted},
    limit::Headers,
};

pub(super) use parameters::Parameters;

/// The media type of streams.
pub(super) const EVENT_STREAM: &str = "text/event-stream";

/// Opens the stream of a resource, or refuses it before the first byte.
pub(crate) async fn open_topic<M: Minimum>(
    gateway: &Arc<Gateway>,
    caller: StreamCaller<M>,
    topic: Topic,
    parameters: Parameters,
) -> Result<StreamResponse> {
    caller.may_open(&topic)?;
    family::find_visible(gateway, &caller.principal, &topic).await?;
    if parameters.is_head {
        return Ok(StreamResponse::Head);
    }
    let (opener, headers) = admit(gateway, &caller, &parameters).await?;
    let topics = [topic.clone()];
    let wanted = wanted(gateway, topic, &parameters);
    let (resume, bounds) = (parameters.resume(), parameters.bounds());
    let answer = gateway.hub.open(Open { wanted, resume, bounds, opener }).await;
    Ok(match answer.map_err(|error| family::open_error(gateway, &topics, error))? {
        Opening::Stream(subscription) => StreamResponse::Open(Box::new(subscription), headers),
        Opening::Complete => StreamResponse::Complete,
    })
}

/// Opens the stream of several resources, or refuses it before the first byte.
pub(super) async fn open_topics<M: Minimum>(
    gateway: &Arc<Gateway>,
    caller: StreamCaller<M>,
    topics: Vec<Topic>,
    parameters: Parameters,
) -> Result<StreamResponse> {
    caller.may_open_all(&topics)?;
    for topic in &topics {
        family::find_visible(gateway, &caller.principal, topic).await?;
    }
    if parameters.is_head {
        return Ok(StreamResponse::Head);
    }
    let (opener, headers) = admit(gateway, &caller, &parameters).await?;
    let access = Arc::new(SubscriptionAccess::new(gateway, &caller.principal));
    let wanted = topics.iter().map(|topic| wanted(gateway, topic.clone(), &parameters));
    let (resume, bounds) = (parameters.resume(), parameters.bounds());
    let open = OpenMany { wanted: wanted.collect(), resume, bounds, opener, access };
    let answer = gateway.hub.open_many(open).await;
    Ok(match answer.map_err(|error| family::open_error(gateway, &topics, error))? {
        Opening::Stream(merge) => StreamResponse::Many(Box::new(merge), headers),
        Opening::Complete => StreamResponse::Complete,
    })
}

/// Takes the place for a stream, or refuses it.
async fn admit<M>(
    gateway: &Gateway,
    caller: &StreamCaller<M>,
    parameters: &Parameters,
) -> Result<(Opener, Headers)> {
    let (slot, headers) = gateway
        .limits
        .admit(caller.principal.user_id)
        .map_err(|refused| Problem::refused(&refused, &gateway.telemetry))?;
    let watch = gateway.sessions.watch(&caller.principal).await?;
    let Parameters { request, address, .. } = *parameters;
    let admission = parameters.admission.clone();
    Ok((Opener { request, address, watch, slot, admission }, headers))
}

fn wanted(gateway: &Arc<Gateway>, topic: Topic, parameters: &Parameters) -> Wanted {
    let source = family::source(gateway, &topic);
    let overflow = parameters.overflow.unwrap_or_else(|| gateway.settings(topic.family()).1);
    Wanted { topic, subject: Subject { source, failure }, overflow }
}

/// What a stream that breaks ends with.
fn failure(request: Uuid) -> String {
    let broken = "the event log cannot be read at the moment; reconnect to go on";
    Problem::new(Kind::Unavailable, broken).body(request)
}

/// The answer of a stream operation. How its events leave is for the server to choose.
pub(super) enum StreamResponse {
    /// 200, events follow.
    Open(Box<Subscription>, Headers),
    /// The same of many topics, as the body of the response whatever carries it.
    Many(Box<Merge>, Headers),
    /// 200 to a HEAD: what a GET would be answered with, at no cost.
    Head,
    /// 204: nothing will follow, do not reconnect.
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
            Self::Head => None,
            Self::Complete => {
                response.set_status(poem::http::StatusCode::NO_CONTENT);
                return response;
            }
        };
        stream_headers(&mut response);
        for (name, value) in limits.into_iter().flat_map(|limits| {
            [(super::RATELIMIT_POLICY, limits.policy), (super::RATELIMIT, limits.limit)]
        }) {
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }
}

/// No cache, no buffer, no compression on the way (facts of the field: proxies do all three).
pub(super) fn stream_headers(response: &mut Response) {
    for (name, value) in [
        (header::CONTENT_TYPE, EVENT_STREAM),
        (header::CACHE_CONTROL, "no-store, no-transform"),
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
}

/// One event of a `text/event-stream`, as generated clients see it.
#[derive(Object)]
#[oai(rename = "StreamEvent", skip_serializing_if_is_none, example)]
pub(super) struct StreamEvent {
    /// The cursor to resume from; opaque. `stream.closed` and `error` have none.
    id: Option<String>,
    /// The kind of event.
    event: String,
    /// The event's data, a JSON text.
    data: String,
    /// How long to wait before reconnecting, in milliseconds.
    retry: Option<u32>,
}

impl Example for StreamEvent {
    fn example() -> Self {
        Self {
            id: Some("2f1a3b9c-42-5d8e01f7".to_owned()),
            event: "status".to_owned(),
            data: r#"{"from":"deploying","to":"active"}"#.to_owned(),
            retry: Some(3_210),
        }
    }
}

impl ApiResponse for StreamResponse {
    fn meta() -> MetaResponses {
        let limits = problem::meta(Kind::TooManyRequests).headers;
        let limits = limits.into_iter().filter(|header| header.name != "Retry-After").collect();
        MetaResponses {
            responses: vec![
                MetaResponse {
                    description: "Events, from the cursor on or from a snapshot. Comments keep the \
                                  connection open while nothing happens.",
                    status: Some(200),
                    status_range: None,
                    content: vec![MetaMediaType {
                        content_type: EVENT_STREAM,
                        schema: StreamEvent::schema_ref(),
                    }],
                    headers: limits,
                },
                MetaResponse {
                    description: "The cursor is that of the last event there will ever be: an \
                                  `EventSource` stops here instead of reconnecting.",
                    status: Some(204),
                    status_range: None,
                    content: Vec::new(),
                    headers: Vec::new(),
                },
            ],
        }
    }

    fn register(registry: &mut Registry) {
        StreamEvent::register(registry);
    }
}

/// Why a stream ends.
#[derive(Object)]
#[oai(rename = "StreamClosed", example)]
pub(super) struct StreamClosed {
    /// `completed`, `max_seconds`, `overflow`, `disconnected`, `session_expired`, `session_revoked`,
    /// `user_disabled`, `role_lowered` or `shutdown`.
    reason: String,
}

impl Example for StreamClosed {
    fn example() -> Self {
        Self { reason: "completed".to_owned() }
    }
}

/// What a subscriber has missed, as its overflow strategy request.
#[derive(Object)]
#[oai(rename = "StreamDropped", example)]
pub(super) struct StreamDropped {
    /// Events, all before the next one.
    count: u64,
}

impl Example for StreamDropped {
    fn example() -> Self {
        Self { count: 17 }
    }
}

/// The event that every stream can send and that has a cursor: one resumes behind what was dropped.
pub(super) const DROPPED: EventKind = EventKind {
    kind: "stream.dropped",
    description: "The subscriber was too slow and misses events; see `overflow`.",
    schema: schema::<StreamDropped>,
};

/// The events that every stream can send and that have none.
pub(super) const CONTROL_EVENTS: [EventKind; 2] = [
    EventKind {
        kind: "stream.closed",
        description: "The server ends the stream.",
        schema: schema::<StreamClosed>,
    },
    EventKind {
        kind: "error",
        description: "The stream broke, or was refused and `on_refusal=event` was given.",
        schema: |registry| {
            <Problem as ApiResponse>::register(registry);
            MetaSchemaRef::Reference("Problem".to_owned())
        },
    },
];
