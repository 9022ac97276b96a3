//! Events that agents publish.

use std::borrow::Cow;

use entity::prompt;
use poem_openapi::{
    Enum, Object,
    registry::{MetaSchema, MetaSchemaRef, Registry},
    types::{Example, ParseError, ParseFromJSON, ParseResult, ToJSON, Type},
};
use serde_json::{Value, json};

use crate::{
    event::NewEvent,
    family::{FamilyError, Result, new_event, wire::AnyJson},
};

/// Maximum number of events in one request.
const MAX_EVENTS: usize = 1_000;

/// Maximum size of the data of one event, in bytes of JSON.
const MAX_DATA: usize = 65_536;

/// Kind of event that an agent publishes.
#[derive(Clone, Copy, Enum)]
#[oai(rename_all = "snake_case")]
enum PromptEventKind {
    /// A part of the answer.
    Message,
    /// The agent uses a tool.
    ToolUse,
    /// The result of a tool.
    ToolResult,
    /// The cost of the answer.
    Usage,
    /// The answer is complete.
    Complete,
    /// The prompt is cancelled.
    Cancelled,
    /// The prompt failed.
    Error,
}

impl PromptEventKind {
    /// The terminal status of the prompt after the event. `None` if further events may follow.
    fn terminal_status(self) -> Option<prompt::Status> {
        match self {
            Self::Complete => Some(prompt::Status::Completed),
            Self::Cancelled => Some(prompt::Status::Cancelled),
            Self::Error => Some(prompt::Status::Failed),
            Self::Message | Self::ToolUse | Self::ToolResult | Self::Usage => None,
        }
    }
}

/// An event to publish.
#[derive(Object)]
#[oai(example, deny_unknown_fields)]
pub struct NewPromptEvent {
    /// Kind of the event. `complete`, `cancelled` and `error` end the prompt, so no event can follow.
    kind: PromptEventKind,
    /// Data of the event: any JSON value, at most 65,536 bytes as JSON. The default is null.
    data: Option<AnyJson>,
}

impl Example for NewPromptEvent {
    fn example() -> Self {
        Self {
            kind: PromptEventKind::Message,
            data: Some(AnyJson::from(&json!({ "text": "First, " }))),
        }
    }
}

/// The events of a request: one, or many.
pub struct NewPromptEvents {
    events: Vec<NewPromptEvent>,
    /// The line of each event. Empty if the events were not in lines.
    lines: Vec<usize>,
}

impl NewPromptEvents {
    /// Events of NDJSON, each with the number of its line.
    #[must_use]
    pub fn from_lines(events: Vec<(usize, NewPromptEvent)>) -> Self {
        let (lines, events) = events.into_iter().unzip();
        Self { events, lines }
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
                description: Some("One event, or 1 to 1,000 events in order. Either all of them are published, or none."),
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
        let events = values.into_iter().enumerate().map(|(at, value)| {
            NewPromptEvent::parse_from_json(Some(value)).map_err(|error| {
                ParseError::custom(format!("events[{at}]: {}", error.into_message()))
            })
        });
        Ok(Self {
            events: events.collect::<std::result::Result<Vec<_>, ParseError<Self>>>()?,
            lines: Vec::new(),
        })
    }
}

/// Checked events, as the event log stores them.
pub(super) struct Batch {
    pub(super) events: Vec<NewEvent>,
    /// The terminal status of the prompt after the last event. `None` if the last event does not end the prompt.
    pub(super) terminal_status: Option<prompt::Status>,
}

impl Batch {
    /// Checks the events.
    ///
    /// # Errors
    /// [`FamilyError::BadInput`] if there are no events or too many, or if an event is too large. Also if an event
    /// follows one that ends the prompt.
    pub(super) fn new(events: NewPromptEvents) -> Result<Self> {
        let NewPromptEvents { events: new, lines } = events;
        let place = |at: usize| match lines.get(at) {
            Some(line) => format!("line {line}"),
            None => format!("events[{at}]"),
        };
        if new.is_empty() || new.len() > MAX_EVENTS {
            let reason = format!("a request has 1 to {MAX_EVENTS} events, not {}", new.len());
            return Err(FamilyError::bad_input("the body", reason));
        }
        let mut batch = Self { events: Vec::with_capacity(new.len()), terminal_status: None };
        for (at, NewPromptEvent { kind, data }) in new.into_iter().enumerate() {
            if batch.terminal_status.is_some() {
                let reason = format!("{}: the event before it ends the prompt", place(at));
                return Err(FamilyError::bad_input("the body", reason));
            }
            let name = kind.to_json_string().replace('"', "");
            let event = new_event(&name, &data)?;
            if event.data.len() > MAX_DATA {
                let reason = format!("{}: data: more than {MAX_DATA} bytes", place(at));
                return Err(FamilyError::bad_input("the body", reason));
            }
            batch.terminal_status = kind.terminal_status();
            let is_last = batch.terminal_status.is_some();
            batch.events.push(if is_last { event.terminal() } else { event });
        }
        Ok(batch)
    }
}
