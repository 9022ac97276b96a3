//! What agents publish: events, one, many in an array, or many in lines, and how they get into the
//! log.

use std::borrow::Cow;

use entity::prompt;
use poem::{FromRequest, Request, RequestBody};
use poem_openapi::{
    ApiRequest, ApiResponse, Enum, Object,
    error::ParseRequestPayloadError,
    payload::{Json, ParsePayload, Payload},
    registry::{MetaSchema, MetaSchemaRef, Registry},
    types::{Any, Example, ParseError, ParseFromJSON, ParseResult, ToJSON, Type},
};
use sea_orm::ActiveModelTrait;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    rows::{Standing, Way, in_status, lock},
    topic,
};
use crate::{
    api::{
        body::lines,
        family::new_event,
        problem::{Problem, Result},
    },
    event::{Event, NewEvent},
    gateway::Gateway,
};

/// Events in one request.
const MAX_EVENTS: usize = 1_000;

/// Bytes of the data of one event.
const MAX_DATA: usize = 65_536;

/// A kind of event that agents publish.
#[derive(Clone, Copy, Enum)]
#[oai(rename_all = "snake_case")]
enum PromptEventKind {
    /// A part of the answer.
    Message,
    /// A tool is used.
    ToolUse,
    /// What the tool gave.
    ToolResult,
    /// What it cost.
    Usage,
    /// The answer is complete.
    Complete,
    /// The prompt is no longer wanted.
    Cancelled,
    /// The prompt is given up.
    Error,
}

impl PromptEventKind {
    /// What becomes of the prompt, if nothing follows.
    fn end(self) -> Option<prompt::Status> {
        match self {
            Self::Complete => Some(prompt::Status::Completed),
            Self::Cancelled => Some(prompt::Status::Cancelled),
            Self::Error => Some(prompt::Status::Failed),
            Self::Message | Self::ToolUse | Self::ToolResult | Self::Usage => None,
        }
    }
}

/// An event to be published.
#[derive(Object)]
#[oai(example, deny_unknown_fields)]
pub(super) struct NewPromptEvent {
    /// What happens. Nothing can follow `complete`, `cancelled` and `error`.
    kind: PromptEventKind,
    /// With what: any JSON; at most 65,536 bytes.
    data: Option<Any<Value>>,
}

impl Example for NewPromptEvent {
    fn example() -> Self {
        Self { kind: PromptEventKind::Message, data: Some(Any(json!({ "text": "First, " }))) }
    }
}

/// One event or many.
pub(super) struct NewPromptEvents(Vec<NewPromptEvent>);

impl NewPromptEvents {
    fn parse(at: usize, value: Value) -> std::result::Result<NewPromptEvent, String> {
        NewPromptEvent::parse_from_json(Some(value))
            .map_err(|error| format!("events[{at}]: {}", error.into_message()))
    }
}

impl Type for NewPromptEvents {
    const IS_REQUIRED: bool = true;
    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        "NewPromptEvents".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Reference(Self::name().into_owned())
    }

    fn register(registry: &mut Registry) {
        registry.create_schema::<Self, _>(Self::name().into_owned(), |registry| {
            NewPromptEvent::register(registry);
            let many = MetaSchema {
                items: Some(Box::new(NewPromptEvent::schema_ref())),
                min_items: Some(1),
                max_items: Some(MAX_EVENTS),
                ..MetaSchema::new("array")
            };
            MetaSchema {
                description: Some("One event, or 1 to 1,000 in order: all are published or none."),
                one_of: vec![NewPromptEvent::schema_ref(), MetaSchemaRef::Inline(Box::new(many))],
                example: Some(json!([NewPromptEvent::example().to_json()])),
                ..MetaSchema::ANY
            }
        });
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(std::iter::empty())
    }
}

impl ParseFromJSON for NewPromptEvents {
    fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
        let values = match value.unwrap_or_default() {
            Value::Array(values) => values,
            one => vec![one],
        };
        let events = values.into_iter().enumerate().map(|(at, value)| Self::parse(at, value));
        events.collect::<std::result::Result<_, _>>().map(Self).map_err(ParseError::custom)
    }
}

/// One event in each line.
pub(super) struct Ndjson(NewPromptEvents);

impl Payload for Ndjson {
    const CONTENT_TYPE: &'static str = "application/x-ndjson";

    fn check_content_type(content_type: &str) -> bool {
        let kind = content_type.split(';').next().unwrap_or_default().trim();
        kind.eq_ignore_ascii_case(Self::CONTENT_TYPE)
    }

    fn schema_ref() -> MetaSchemaRef {
        let line = json!(NewPromptEvent::example().to_json()).to_string();
        MetaSchemaRef::Inline(Box::new(MetaSchema {
            description: Some("1 to 1,000 lines, each an event: all are published or none."),
            example: Some(json!(format!("{line}\n{line}\n"))),
            ..MetaSchema::new("string")
        }))
    }
}

impl ParsePayload for Ndjson {
    const IS_REQUIRED: bool = true;

    async fn from_request(request: &Request, body: &mut RequestBody) -> poem::Result<Self> {
        let body = Vec::<u8>::from_request(request, body).await?;
        let events = lines(&body).enumerate().map(|(at, line)| {
            let value =
                serde_json::from_slice(line).map_err(|error| format!("events[{at}]: {error}"))?;
            NewPromptEvents::parse(at, value)
        });
        let events = events.collect::<std::result::Result<_, _>>();
        let events = events.map_err(|reason| ParseRequestPayloadError { reason })?;
        Ok(Self(NewPromptEvents(events)))
    }
}

/// What an agent publishes at once.
#[derive(ApiRequest)]
pub(super) enum Publication {
    /// One event, or an array of them.
    Json(Json<NewPromptEvents>),
    /// One event in each line.
    Ndjson(Ndjson),
}

/// What was published.
#[derive(Object)]
#[oai(example)]
pub(super) struct PublishedEvents {
    /// How many events.
    count: usize,
    /// The cursor of the last one.
    last: String,
}

impl Example for PublishedEvents {
    fn example() -> Self {
        Self { count: 1, last: "2f1a3b9c-42-5d8e01f7".to_owned() }
    }
}

#[derive(ApiResponse)]
pub(super) enum Published {
    /// They are in the log, for good.
    #[oai(status = 201)]
    Published(Json<PublishedEvents>),
}

/// Events that fit together.
pub(super) struct Batch {
    events: Vec<NewEvent>,
    /// What becomes of the prompt with the last of them.
    end: Option<prompt::Status>,
}

impl Batch {
    /// 400 if they do not: what follows the last event there can be is a fault of the agent's that it
    /// should hear of.
    pub(super) fn of(publication: Publication) -> Result<Self> {
        let (Publication::Json(Json(new)) | Publication::Ndjson(Ndjson(new))) = publication;
        if new.0.is_empty() || new.0.len() > MAX_EVENTS {
            let detail = format!("the body: 1 to {MAX_EVENTS} events at once, not {}", new.0.len());
            return Err(Problem::bad_request(detail));
        }
        let mut batch = Self { events: Vec::with_capacity(new.0.len()), end: None };
        for (at, NewPromptEvent { kind, data }) in new.0.into_iter().enumerate() {
            if batch.end.is_some() {
                let detail =
                    format!("the body: events[{at}]: it follows an event that nothing can");
                return Err(Problem::bad_request(detail));
            }
            let name = kind.to_json_string().replace('"', "");
            let event = new_event(&name, &data.map_or(Value::Null, |data| data.0))?;
            if event.data.len() > MAX_DATA {
                let detail = format!("the body: events[{at}]: data: more than {MAX_DATA} bytes");
                return Err(Problem::bad_request(detail));
            }
            batch.end = kind.end();
            batch.events.push(if batch.end.is_some() { event.terminal() } else { event });
        }
        Ok(batch)
    }
}

/// Publishes on a prompt, for who shows this token.
///
/// What changes its status locks its row. All else is written together with what others publish, and
/// it is the log that refuses, at the time of writing, what comes from a lease that has been lost or
/// after the end.
pub(super) async fn publish(
    gateway: &Gateway,
    (session, id): (Uuid, Uuid),
    token: Option<Uuid>,
    publication: Publication,
) -> Result<Published> {
    let way = Standing::of(gateway, session, id).await?.admit(token, &gateway.clock.read())?;
    let batch = Batch::of(publication)?;
    let events = match way {
        _ if batch.end.is_some() => change(gateway, id, token, batch).await?,
        Way::First => change(gateway, id, token, batch).await?,
        Way::Open => gateway.hub.publish(topic(id), batch.events).await?,
        Way::Under(lease) => {
            // Before, so that the lease does not run out while its events wait to be written.
            if lease.is_half_over() {
                lease.extend(gateway, id).await?;
            }
            gateway.hub.publish_under(lease.token, topic(id), batch.events).await?
        }
    };
    let last = events.last().map(|event| event.cursor.to_string()).unwrap_or_default();
    Ok(Published::Published(Json(PublishedEvents { count: events.len(), last })))
}

/// Publishes events that begin or end a prompt.
async fn change(
    gateway: &Gateway,
    id: Uuid,
    token: Option<Uuid>,
    batch: Batch,
) -> Result<Vec<Event>> {
    let tx = gateway.database.begin_write().await?;
    let row = lock(&tx, id).await?;
    let way = Standing::from(&row).admit(token, &gateway.clock.read())?;
    let status = match (way, batch.end) {
        (_, Some(end)) => Some(end),
        (Way::First, None) => Some(prompt::Status::Processing),
        // Another one was the first, meanwhile.
        (Way::Open | Way::Under(_), None) => None,
    };
    if let Some(status) = status {
        in_status(row, status).update(&tx).await?;
    }
    let events = gateway.hub.log().append(&tx, &topic(id), batch.events).await?;
    gateway.hub.commit(tx, events.clone()).await?;
    Ok(events)
}
