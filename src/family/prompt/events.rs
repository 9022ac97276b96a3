//! The events of the family.

use entity::prompt;
use serde_json::json;

use super::schema::{PromptEvent, PromptSnapshot, PromptStatusChange};
use crate::{
    event::{Event, NewEvent},
    family::{EventKind, Result, new_event, schema, wire::AnyJson},
};

/// A kind of event that agents publish, with any data.
const fn published(kind: &'static str, description: &'static str) -> EventKind {
    EventKind { kind, description, schema: schema::<AnyJson> }
}

/// Every kind of event that the stream of a prompt can send.
pub(super) const EVENTS: [EventKind; 9] = [
    EventKind {
        kind: "snapshot",
        description: "The prompt and its newest events. The first event, unless the stream resumes after \
                      a cursor.",
        schema: schema::<PromptSnapshot>,
    },
    EventKind {
        kind: "status",
        description: "An agent claimed or released the prompt, or its lease expired before the first \
                      event. Other changes of the status have events of their own: the first \
                      published event makes a queued prompt `processing`, the last one ends it.",
        schema: schema::<PromptStatusChange>,
    },
    published("message", "A part of the answer."),
    published("tool_use", "The agent uses a tool."),
    published("tool_result", "The result of a tool."),
    published("usage", "The cost of the answer."),
    published(
        "complete",
        "The answer is complete. The prompt is `completed`, and the stream ends.",
    ),
    published("cancelled", "The prompt is `cancelled`, and the stream ends."),
    published("error", "The prompt is `failed`, and the stream ends."),
];

/// The `status` event, for a transition that no published event reports.
pub(super) fn status_event(row: &prompt::Model) -> Result<NewEvent> {
    let change = PromptStatusChange {
        status: row.status.into(),
        attempt: row.attempt,
        at: row.updated_at.datetime(),
    };
    new_event("status", &change)
}

/// The last event of a prompt that the gateway ends. `kind` is `cancelled` or `error`.
pub(super) fn end_event(kind: &str, message: &str) -> Result<NewEvent> {
    Ok(new_event(kind, &json!({ "message": message }))?.terminal())
}

/// Converts an event of the log for a snapshot.
pub(super) fn logged_event(event: &Event) -> PromptEvent {
    PromptEvent {
        id: event.cursor.to_string(),
        kind: event.kind.clone(),
        data: AnyJson(event.data.clone().into()),
        at: event.at.datetime(),
    }
}
