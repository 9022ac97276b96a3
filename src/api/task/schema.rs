//! Tasks on the wire: what their owners send and everybody sees. What workers send is in
//! `worker/schema.rs`.

use entity::{JsonText, Timestamp, task};
use poem_openapi::{
    Object,
    types::{Any, Example},
};
use serde_json::{Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::api::{example_id, example_time, mirror, text::Text};

mirror! {
    /// How far a task has come.
    pub(super) TaskStatus <=> task::Status { Pending, Running, Completed, Failed, Cancelled }
}

/// A task to be done.
#[derive(Object)]
#[oai(example, deny_unknown_fields)]
pub(super) struct NewTask {
    /// What a worker must be able to do: workers that name it among their skills can claim the task.
    #[oai(validator(min_length = 1, max_length = 128, pattern = "^[A-Za-z0-9_.:-]+$"))]
    pub(super) task_type: Text,
    /// With what: any JSON, at most 16,384 bytes of it.
    pub(super) input: Option<Any<Value>>,
    /// How many leases may run out before the task fails; 3 if absent.
    #[oai(validator(minimum(value = "1"), maximum(value = "100")))]
    pub(super) max_attempts: Option<i32>,
}

impl Example for NewTask {
    fn example() -> Self {
        Self {
            task_type: "summarize".into(),
            input: Some(Any(example_input())),
            max_attempts: Some(3),
        }
    }
}

/// A task.
#[derive(Object)]
#[expect(clippy::struct_field_names, reason = "the names on the wire")]
#[oai(example, skip_serializing_if_is_none)]
pub(super) struct Task {
    /// Its id.
    pub(super) id: Uuid,
    /// Who made it.
    pub(super) owner: Uuid,
    /// What a worker must be able to do.
    pub(super) task_type: String,
    /// With what.
    pub(super) input: Option<Any<Value>>,
    /// What came of it, once it is completed.
    pub(super) output: Option<Any<Value>>,
    /// Why it failed.
    pub(super) error: Option<String>,
    /// How far it has come.
    pub(super) status: TaskStatus,
    /// How often it was claimed. Only ever grows.
    pub(super) attempt: i32,
    /// How many leases may run out before it fails. A task that a worker gives back has lost none.
    pub(super) max_attempts: i32,
    /// Whether somebody has asked for its end.
    pub(super) cancel_requested: bool,
    /// What its workers have made so far, in the order of first appearance. Those of an earlier
    /// attempt stay until a later one begins them anew. Absent in lists.
    pub(super) artifacts: Option<Vec<Artifact>>,
    /// When it was made.
    pub(super) created_at: OffsetDateTime,
    /// When any of this was changed.
    pub(super) updated_at: OffsetDateTime,
    /// When it ended.
    pub(super) completed_at: Option<OffsetDateTime>,
}

impl From<task::Model> for Task {
    fn from(mut row: task::Model) -> Self {
        let input = row.input.take();
        let state = TaskState::from(row);
        Self {
            id: state.id,
            owner: state.owner,
            task_type: state.task_type,
            input: any(input.as_ref()),
            output: state.output,
            error: state.error,
            status: state.status,
            attempt: state.attempt,
            max_attempts: state.max_attempts,
            cancel_requested: state.cancel_requested,
            artifacts: None,
            created_at: state.created_at,
            updated_at: state.updated_at,
            completed_at: state.completed_at,
        }
    }
}

impl Example for Task {
    fn example() -> Self {
        let state = TaskState::example();
        Self {
            id: state.id,
            owner: state.owner,
            task_type: state.task_type,
            input: Some(Any(example_input())),
            output: state.output,
            error: state.error,
            status: state.status,
            attempt: state.attempt,
            max_attempts: state.max_attempts,
            cancel_requested: state.cancel_requested,
            artifacts: Some(vec![Artifact::example()]),
            created_at: state.created_at,
            updated_at: state.updated_at,
            completed_at: state.completed_at,
        }
    }
}

/// How a task stands: the data of a `task.status` event. The task without `input`, which does not
/// change, and `artifacts`, which have events of their own.
#[derive(Object)]
#[oai(example, skip_serializing_if_is_none)]
pub(super) struct TaskState {
    /// Its id.
    id: Uuid,
    /// Who made it.
    owner: Uuid,
    /// What a worker must be able to do.
    task_type: String,
    /// What came of it, once it is completed.
    output: Option<Any<Value>>,
    /// Why it failed.
    error: Option<String>,
    /// How far it has come.
    status: TaskStatus,
    /// How often it was claimed. Only ever grows.
    attempt: i32,
    /// How many leases may run out before it fails.
    max_attempts: i32,
    /// Whether somebody has asked for its end.
    cancel_requested: bool,
    /// When it was made.
    created_at: OffsetDateTime,
    /// When any of this was changed.
    updated_at: OffsetDateTime,
    /// When it ended.
    completed_at: Option<OffsetDateTime>,
}

impl From<task::Model> for TaskState {
    fn from(row: task::Model) -> Self {
        Self {
            id: row.id,
            owner: row.owner,
            task_type: row.task_type,
            output: any(row.output.as_ref()),
            error: row.error,
            status: row.status.into(),
            attempt: row.attempt,
            max_attempts: row.max_attempts,
            cancel_requested: row.cancel_by.is_some(),
            created_at: row.created_at.datetime(),
            updated_at: row.updated_at.datetime(),
            completed_at: row.completed_at.map(Timestamp::datetime),
        }
    }
}

impl Example for TaskState {
    fn example() -> Self {
        Self {
            id: example_id(),
            owner: example_id(),
            task_type: "summarize".to_owned(),
            output: Some(Any(json!({ "words": 120 }))),
            error: None,
            status: TaskStatus::Completed,
            attempt: 1,
            max_attempts: 3,
            cancel_requested: false,
            created_at: example_time(),
            updated_at: example_time(),
            completed_at: Some(example_time()),
        }
    }
}

/// Something that a worker made, with all its chunks joined.
#[derive(Object)]
#[expect(clippy::struct_field_names, reason = "the names on the wire")]
#[oai(example, skip_serializing_if_is_none)]
pub(super) struct Artifact {
    /// The worker's name for it, unlike any other of the task.
    pub(super) artifact_id: String,
    /// A name for people: the newest that came with a chunk.
    pub(super) name: Option<String>,
    /// What it is.
    pub(super) data: Any<Value>,
    /// Whether the worker said that nothing follows.
    pub(super) last_chunk: bool,
}

impl Example for Artifact {
    fn example() -> Self {
        Self {
            artifact_id: "summary".to_owned(),
            name: Some("Summary".to_owned()),
            data: Any(json!("It was a dark and stormy night.")),
            last_chunk: true,
        }
    }
}

/// A chunk of an artifact to be made.
#[derive(Object)]
#[oai(example, deny_unknown_fields)]
pub(super) struct NewArtifact {
    /// Your name for the artifact, unlike any other of the task.
    #[oai(validator(min_length = 1, max_length = 128, pattern = r"^[^\x00-\x1f\x7f]+$"))]
    pub(super) artifact_id: Text,
    /// A name for people.
    #[oai(validator(min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]+$"))]
    pub(super) name: Option<Text>,
    /// Any JSON but null; a text or an array if it is to be appended to or with. At most 65,536 bytes
    /// as JSON: what is larger comes in chunks.
    pub(super) data: Any<Value>,
    /// Whether it is added to what is there, a text to a text or an array to an array. Without, the
    /// artifact begins anew.
    #[oai(default)]
    pub(super) append: bool,
    /// Whether nothing follows.
    #[oai(default)]
    pub(super) last_chunk: bool,
}

impl Example for NewArtifact {
    fn example() -> Self {
        Self {
            artifact_id: "summary".into(),
            name: Some("Summary".into()),
            data: Any(json!("It was a dark ")),
            append: false,
            last_chunk: false,
        }
    }
}

/// A chunk of an artifact: the data of a `task.artifact` event.
#[derive(Object)]
#[oai(example, skip_serializing_if_is_none)]
pub(super) struct ArtifactChunk {
    /// The task that it is of.
    pub(super) task_id: Uuid,
    /// The attempt in which it was made.
    pub(super) attempt: i32,
    /// The number of the report that brought it, within the attempt.
    pub(super) seq: i64,
    /// The worker's name for the artifact.
    pub(super) artifact_id: String,
    /// A name for people.
    pub(super) name: Option<String>,
    /// The chunk.
    pub(super) data: Any<Value>,
    /// Whether it is added to what is there. Without, the artifact begins anew, in its place.
    pub(super) append: bool,
    /// Whether nothing follows.
    pub(super) last_chunk: bool,
    /// When; the task's `updated_at` from then on.
    pub(super) at: OffsetDateTime,
}

impl Example for ArtifactChunk {
    fn example() -> Self {
        Self {
            task_id: example_id(),
            attempt: 1,
            seq: 2,
            artifact_id: "summary".to_owned(),
            name: Some("Summary".to_owned()),
            data: Any(json!("and stormy night.")),
            append: true,
            last_chunk: true,
            at: example_time(),
        }
    }
}

/// The first event of a stream: the whole task at one moment, which its `id` names.
#[derive(Object)]
#[oai(example, skip_serializing_if_is_none)]
pub(super) struct TaskSnapshot {
    /// The task.
    pub(super) task: Task,
    /// Why the stream starts over: `unknown_cursor` (your cursor is not one of this stream's), `pruned`
    /// (the events after it are no longer kept) or `replaced` (the database was restored from a
    /// backup, and other events have the numbers of those that you saw). Drop what you have and begin
    /// with this state. Absent in every other snapshot.
    pub(super) reset: Option<crate::family::wire::ResetReason>,
}

impl Example for TaskSnapshot {
    fn example() -> Self {
        Self { task: Task::example(), reset: None }
    }
}

fn any(text: Option<&JsonText>) -> Option<Any<Value>> {
    text.map(|text| Any(text.value()))
}

fn example_input() -> Value {
    json!({ "document": "chapter-1.txt" })
}
