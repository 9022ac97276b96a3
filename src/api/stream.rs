//! Streams on the wire: what every family's `GET .../stream` and `GET .../events` share.

use std::{sync::Arc, time::Duration};

use poem::{
    IntoResponse, Response,
    http::{HeaderName, HeaderValue, header},
};
use poem_openapi::{
    ApiResponse, Enum, Object,
    payload::Json,
    registry::{MetaMediaType, MetaResponse, MetaResponses, MetaSchemaRef, Registry},
    types::{Any, Example, Type},
};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    caller::{Minimum, StreamCaller},
    problem::{self, Kind, Problem, Result},
};
use crate::{
    event::{Cursor, Event, Topic},
    event_log::{LogError, Stale},
    gateway::Gateway,
    hub::{Bounds, Handover, Open, Opening, Resume, Source, Subject, Subscription},
    limit::Headers,
};

/// The media type of streams.
pub(super) const EVENT_STREAM: &str = "text/event-stream";

/// What a refused caller of a stream wants to get.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case")]
pub(super) enum OnRefusal {
    /// A stream of one `error` event instead of a status.
    Event,
}

/// What is to happen when a subscriber is too slow for the events kept in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case")]
pub(super) enum Overflow {
    /// It gets what it missed from the event log, and loses nothing.
    CatchUp,
}

/// The parameters that every stream has.
pub(super) struct Parameters {
    /// The request's id.
    pub(super) request: Uuid,
    /// A HEAD: wants the answer's head and no stream.
    pub(super) is_head: bool,
    pub(super) last_event_id_header: Option<String>,
    pub(super) last_event_id_query: Option<String>,
    pub(super) max_events: Option<u64>,
    pub(super) max_seconds: Option<u64>,
}

impl Parameters {
    /// The browser's header wins: it is newer than the URL, which does not change as it reconnects.
    pub(super) fn resume(&self) -> Resume {
        let given = self.last_event_id_header.as_ref().or(self.last_event_id_query.as_ref());
        match given.map(String::as_str) {
            None | Some("") => Resume::Start,
            Some(text) => text.parse().map_or(Resume::Unreadable, Resume::After),
        }
    }
}

/// Opens the stream of a resource that the caller was found to be allowed to see. What is left to
/// refuse is refused here, before the first byte.
pub(super) async fn open<M: Minimum>(
    gateway: &Arc<Gateway>,
    caller: StreamCaller<M>,
    topic: Topic,
    source: Arc<dyn Source>,
    parameters: Parameters,
) -> Result<StreamResponse> {
    if parameters.is_head {
        return Ok(StreamResponse::Head);
    }
    let (slot, headers) = gateway
        .limits
        .admit(caller.principal.user_id)
        .map_err(|refused| Problem::refused(&refused, &gateway.telemetry))?;
    let watch = gateway.sessions.watch(&caller.principal).await?;
    let bounds = Bounds {
        max_events: parameters.max_events,
        max_time: parameters.max_seconds.map(Duration::from_secs),
    };
    let resume = parameters.resume();
    let request = parameters.request;
    let subject = Subject { source, failure };
    let open = Open { topic, subject, resume, bounds, watch, slot, request };
    Ok(match gateway.hub.open(open).await? {
        Opening::Stream(subscription) => StreamResponse::Open(Box::new(subscription), headers),
        Opening::Complete => StreamResponse::Complete,
    })
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
    /// 200 to a HEAD: what a GET would be answered with, at no cost.
    Head,
    /// 204: nothing will follow, do not reconnect.
    Complete,
}

impl IntoResponse for StreamResponse {
    fn into_response(self) -> Response {
        let mut response = Response::default();
        let (subscription, limits) = match self {
            Self::Open(subscription, limits) => (Some(subscription), Some(limits)),
            Self::Head => (None, None),
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
        if let Some(subscription) = subscription {
            response.extensions_mut().insert(Handover::new(*subscription));
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
    /// The cursor to resume from; opaque. Control events have none.
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
            id: Some("2f1a3b9c-42".to_owned()),
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

/// A kind of event, for the document with typed events.
pub(super) struct EventKind {
    /// The `event:` field.
    pub(super) kind: &'static str,
    /// When it is sent.
    pub(super) description: &'static str,
    /// Puts the schema of its data among the others and names it.
    pub(super) schema: fn(&mut Registry) -> MetaSchemaRef,
}

/// For [`EventKind::schema`].
pub(super) fn schema<T: Type>(registry: &mut Registry) -> MetaSchemaRef {
    T::register(registry);
    T::schema_ref()
}

/// Why a stream ends.
#[derive(Object)]
#[oai(rename = "StreamClosed", example)]
pub(super) struct StreamClosed {
    /// `completed`, `max_seconds`, `session_expired`, `session_revoked`, `user_disabled`,
    /// `role_lowered` or `shutdown`.
    reason: String,
}

impl Example for StreamClosed {
    fn example() -> Self {
        Self { reason: "completed".to_owned() }
    }
}

/// Events that every stream can send.
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

/// An event of the log.
#[derive(Object)]
#[oai(rename = "Event", example)]
struct LoggedEvent {
    /// Its cursor.
    id: String,
    /// Where it happened: `<family>.<id>`.
    topic: String,
    /// What happened.
    kind: String,
    /// With what; the same JSON as in the stream.
    data: Any<serde_json::Value>,
    /// When.
    at: OffsetDateTime,
}

impl Example for LoggedEvent {
    fn example() -> Self {
        Self {
            id: "2f1a3b9c-42".to_owned(),
            topic: "topology.0198c2f0-7d52-7a11-8c7e-3f5f1f1f9d10".to_owned(),
            kind: "status".to_owned(),
            data: Any(serde_json::json!({"from": "deploying", "to": "active"})),
            at: super::example_time(),
        }
    }
}

/// A part of a topic's event log.
#[derive(Object)]
#[oai(rename = "EventPage", example)]
pub(super) struct EventPage {
    /// In order.
    events: Vec<LoggedEvent>,
    /// The cursor to ask with for what follows; also good for resuming the stream.
    next: String,
    /// Whether there is more already.
    has_more: bool,
}

impl Example for EventPage {
    fn example() -> Self {
        Self {
            events: vec![LoggedEvent::example()],
            next: "2f1a3b9c-42".to_owned(),
            has_more: false,
        }
    }
}

/// The answer of an events operation.
pub(super) struct Events(EventPage);

impl IntoResponse for Events {
    fn into_response(self) -> Response {
        Json(self.0).into_response()
    }
}

impl ApiResponse for Events {
    fn meta() -> MetaResponses {
        let mut meta = Json::<EventPage>::meta();
        meta.responses.push(problem::meta(Kind::Gone));
        meta
    }

    fn register(registry: &mut Registry) {
        EventPage::register(registry);
    }
}

/// Reads a page of the log of a resource that the caller was found to be allowed to see.
pub(super) async fn events(
    gateway: &Gateway,
    topic: &Topic,
    after: Option<String>,
    limit: u64,
) -> Result<Events> {
    let log = gateway.hub.log();
    let read = match after.filter(|after| !after.is_empty()) {
        None => log.oldest(topic, limit).await,
        Some(after) => {
            let cursor: Cursor =
                after.parse().map_err(|_| Problem::bad_request("parameter after: not a cursor"))?;
            log.after(topic, cursor, limit).await.map(|page| (cursor, page))
        }
    };
    let (from, mut page) = read.map_err(|error| match error {
        LogError::Stale(Stale::UnknownCursor) => {
            Problem::new(Kind::Gone, "the cursor is not one of this log's; start without one")
        }
        LogError::Stale(Stale::Pruned) => Problem::new(
            Kind::Gone,
            "the events after this cursor are no longer kept; start without one",
        ),
        LogError::Database(error) => error.into(),
    })?;
    let fit = super::fitting(page.events.iter().map(|event| event.data.len()));
    page.has_more |= page.events.len() > fit;
    page.events.truncate(fit);
    let next = page.events.last().map_or(from, |event| event.cursor).to_string();
    let events = page.events.iter().map(logged).collect::<Result<_>>()?;
    Ok(Events(EventPage { events, next, has_more: page.has_more }))
}

fn logged(event: &Event) -> Result<LoggedEvent> {
    Ok(LoggedEvent {
        id: event.cursor.to_string(),
        topic: event.topic.to_string(),
        kind: event.kind.clone(),
        data: Any(serde_json::from_str(&event.data).map_err(Problem::internal)?),
        at: event.at.datetime(),
    })
}
