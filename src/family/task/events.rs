//! The events of the family.

use entity::task;

use super::{
    schema::{ArtifactChunk, TaskSnapshot, TaskState},
    status::is_terminal,
};
use crate::{
    event::NewEvent,
    family::{EventKind, Result, new_event, schema},
};

/// Every kind of event that the stream of a task can send.
pub(super) const EVENTS: [EventKind; 3] = [
    EventKind {
        kind: "snapshot",
        description: "The task. The first event, unless the stream resumes after a cursor.",
        schema: schema::<TaskSnapshot>,
    },
    EventKind {
        kind: "task.status",
        description: "The task was claimed, reported or released, its lease expired, its cancellation was \
                      requested, or it ended. Artifacts have an event of their own. The stream ends after \
                      `completed`, `failed` or `cancelled`.",
        schema: schema::<TaskState>,
    },
    EventKind {
        kind: "task.artifact",
        description: "A chunk of an artifact. Without `append` it starts the artifact over.",
        schema: schema::<ArtifactChunk>,
    },
];

/// The event that reports the state of a task.
pub(super) fn state_event(row: &task::Model) -> Result<NewEvent> {
    let event = new_event("task.status", &TaskState::from(row.clone()))?;
    Ok(if is_terminal(row.status) { event.terminal() } else { event })
}
