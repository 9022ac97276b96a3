//! Pages of events, for every family's `GET .../events`.
//!
//! A page contains the JSON texts of the log as they are. The code does not parse them into values, which would take
//! many times as much memory.

use poem::{IntoResponse, Response};
use poem_openapi::{
    ApiResponse, Object,
    registry::{MetaResponses, Registry},
    types::{Any, Example, Type},
};
use serde::Serialize;
use serde_json::value::RawValue;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::api::{
    json::Json,
    problem::{self, Kind, Problem, ReadResult, Result},
};
use crate::{
    auth::login_session::Principal,
    event::{Cursor, Event, Topic},
    event_log::{LogError, ReadLimit, StaleCursor},
    family::{
        self,
        wire::{PAGE_BYTES, example_time, page_limit},
    },
    gateway::Gateway,
};

/// An event of the event log.
// For the OpenAPI document only. The response is written with `Page` and `Line`.
#[derive(Object)]
#[oai(rename = "Event", example)]
struct LoggedEvent {
    /// Cursor of the event, opaque.
    id: String,
    /// Topic of the event, as `<family>.<id>`.
    topic: String,
    /// Kind of the event.
    kind: String,
    /// Data of the event: the same JSON as in the stream.
    data: Any<serde_json::Value>,
    /// Time at which the event was written, UTC.
    at: OffsetDateTime,
}

impl Example for LoggedEvent {
    fn example() -> Self {
        Self {
            id: "2f1a3b9c-42-5d8e01f7".to_owned(),
            topic: "topology.0198c2f0-7d52-7a11-8c7e-3f5f1f1f9d10".to_owned(),
            kind: "status".to_owned(),
            data: Any(serde_json::json!({"from": "deploying", "to": "active"})),
            at: example_time(),
        }
    }
}

/// A page of the events of a topic.
#[derive(Object)]
#[oai(rename = "EventPage", example)]
pub(in crate::api) struct EventPage {
    /// Events, oldest first.
    events: Vec<LoggedEvent>,
    /// Cursor to send as `after` for the next page. A stream can also resume after this cursor.
    next: String,
    /// Whether the event log already has events after this page.
    has_more: bool,
}

impl Example for EventPage {
    fn example() -> Self {
        Self {
            events: vec![LoggedEvent::example()],
            next: "2f1a3b9c-42-5d8e01f7".to_owned(),
            has_more: false,
        }
    }
}

/// The JSON of an [`EventPage`].
#[derive(Serialize)]
struct Page<'a> {
    events: Vec<Line<'a>>,
    next: String,
    has_more: bool,
}

/// The JSON of a [`LoggedEvent`].
#[derive(Serialize)]
struct Line<'a> {
    id: String,
    topic: &'a str,
    kind: &'a str,
    data: &'a RawValue,
    at: String,
}

/// The response of an operation that lists events: the JSON of a page.
pub(in crate::api) struct Events(Vec<u8>);

impl IntoResponse for Events {
    fn into_response(self) -> Response {
        Response::builder().content_type("application/json").body(self.0)
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

/// Answers an operation that lists the events of a resource.
pub(in crate::api) async fn events(
    gateway: &Gateway,
    principal: &Principal,
    topic: &Topic,
    after: Option<String>,
    limit: Option<u64>,
) -> ReadResult<Events> {
    family::find_visible(gateway, principal, topic).await?;
    Ok(read(gateway, topic, after, page_limit(limit)).await?)
}

/// Reads a page of a topic that the caller may see.
async fn read(
    gateway: &Gateway,
    topic: &Topic,
    after: Option<String>,
    limit: u64,
) -> Result<Events> {
    let log = gateway.hub.log();
    let most = ReadLimit { events: limit, bytes: PAGE_BYTES };
    let read = match after.filter(|after| !after.is_empty()) {
        None => log.oldest(topic, most).await,
        Some(after) => {
            let cursor: Cursor =
                after.parse().map_err(|_| Problem::bad_request("parameter after: not a cursor"))?;
            log.after(topic, cursor, most).await.map(|page| (cursor, page))
        }
    };
    let (from, page) = read.map_err(|error| match error {
        LogError::Stale(StaleCursor::UnknownCursor) => {
            Problem::new(Kind::Gone, "the cursor does not belong to this topic; start without a cursor")
        }
        LogError::Stale(StaleCursor::Replaced) => Problem::new(
            Kind::Gone,
            "the events up to this cursor were replaced by others, for example because the database \
             was restored from a backup; start without a cursor",
        ),
        LogError::Stale(StaleCursor::Pruned) => Problem::new(
            Kind::Gone,
            "the event log no longer has all events after this cursor; start without a cursor",
        ),
        LogError::Database(error) => error.into(),
    })?;
    let next = page.events.last().map_or(from, |event| event.cursor).to_string();
    let events = page.events.iter().map(line).collect::<Result<_>>()?;
    // Allocated at its full size, because a buffer that grows takes up to twice the size of the text.
    let mut text = Vec::with_capacity(page.events.iter().map(size).sum::<usize>() + 128);
    let page = Page { events, next, has_more: page.has_more };
    serde_json::to_writer(&mut text, &page).map_err(Problem::internal)?;
    Ok(Events(text))
}

/// Estimated size of an event on a page, in bytes, rounded up.
fn size(event: &Event) -> usize {
    event.topic.as_str().len() + event.kind.len() + event.data.len() + 160
}

fn line(event: &Event) -> Result<Line<'_>> {
    Ok(Line {
        id: event.cursor.to_string(),
        topic: event.topic.as_str(),
        kind: &event.kind,
        data: serde_json::from_str(&event.data).map_err(Problem::internal)?,
        at: event.at.datetime().format(&Rfc3339).map_err(Problem::internal)?,
    })
}
