//! Tasks on the wire, for their owners. `worker_schema.rs` has the types for workers.

use entity::{Timestamp, task};
use poem_openapi::{Object, types::Example};
use serde_json::{Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::family::{
    count_with_size,
    oauth::requires,
    wire::{AnyJson, ResetReason, Text, example_id, example_time, wire_enum},
};

wire_enum! {
    /// Status of a task.
    pub TaskStatus <=> task::Status {
        /// Waiting for a worker.
        Pending,
        /// Claimed by a worker.
        Running,
        /// Completed by a worker.
        Completed,
        /// A worker reported that the task failed, or `max_attempts` leases expired.
        Failed,
        /// Cancelled on request, or because the owner was deleted.
        Cancelled,
    }
}

/// A task to create.
#[derive(Object)]
#[oai(example, deny_unknown_fields)]
pub struct NewTask {
    /// Type of the task: 1 to 128 letters, digits, `_`, `.`, `:` and `-`. Workers with this skill can claim the task.
    #[oai(validator(min_length = 1, max_length = 128, pattern = "^[A-Za-z0-9_.:-]+$"))]
    pub task_type: Text,
    /// Input of the task: any JSON value, at most 16,384 bytes as JSON. Null means no input, like an absent field.
    pub input: Option<AnyJson>,
    /// The task fails when this number of its leases has expired, from 1 to 100. The default is 3. A released lease
    /// does not count.
    #[oai(validator(minimum(value = "1"), maximum(value = "100")))]
    pub max_attempts: Option<i32>,
    /// Names of the OAuth providers at which the owner must have a grant, at most 8. Without a valid grant, the response
    /// is 401 with an `authorization_url`, also when the stream is opened.
    #[oai(validator(max_items = 8))]
    pub requires: Option<Vec<String>>,
}

impl Example for NewTask {
    fn example() -> Self {
        Self {
            task_type: "summarize".into(),
            input: Some(AnyJson::from(&example_input())),
            max_attempts: Some(3),
            requires: None,
        }
    }
}

/// A task.
#[derive(Object)]
#[oai(example, skip_serializing_if_is_none)]
pub struct Task {
    /// The state, in the same object.
    #[oai(flatten)]
    pub state: TaskState,
    /// Input of the task. Absent if the task has none.
    pub input: Option<AnyJson>,
    /// Names of the OAuth providers at which the owner must have a grant. Absent if there are none.
    pub requires: Option<Vec<String>>,
    /// Artifacts so far, in the order of their first chunks. Artifacts of an earlier attempt remain until a later
    /// attempt replaces them. Absent in lists of tasks.
    pub artifacts: Option<Vec<Artifact>>,
}

impl From<task::Model> for Task {
    fn from(mut row: task::Model) -> Self {
        let input = row.input.take().map(AnyJson);
        let requires = requires(row.requires.take().as_ref());
        Self { state: row.into(), input, requires, artifacts: None }
    }
}

impl Example for Task {
    fn example() -> Self {
        Self {
            state: TaskState::example(),
            input: Some(AnyJson::from(&example_input())),
            requires: Some(vec!["github".to_owned()]),
            artifacts: Some(vec![Artifact::example()]),
        }
    }
}

/// The state of a task: the data of a `task.status` event. The state has no `input`, because the input never changes.
/// It has no `artifacts`, because `task.artifact` events report them.
#[derive(Object)]
#[oai(example, skip_serializing_if_is_none)]
pub struct TaskState {
    /// Task id.
    pub id: Uuid,
    /// Id of the user that the task belongs to.
    pub owner: Uuid,
    /// Type of the task: the skill that a worker needs.
    pub task_type: String,
    /// Output of the task. Absent unless the task completed with an output.
    pub output: Option<AnyJson>,
    /// Reason why the task failed. Absent if the task did not fail, or if the worker gave no reason.
    pub error: Option<String>,
    /// Status of the task.
    pub status: TaskStatus,
    /// Number of claims so far. 0 before the first claim.
    pub attempt: i32,
    /// The task fails when this number of its leases has expired. A released lease does not count.
    pub max_attempts: i32,
    /// Whether cancellation was requested. Remains `true` after the task has ended.
    pub cancel_requested: bool,
    /// Time of creation, UTC.
    pub created_at: OffsetDateTime,
    /// Time of the last change, UTC. The renewal of a lease is not a change.
    pub updated_at: OffsetDateTime,
    /// Time at which the task reached a terminal status, UTC. Absent before.
    pub completed_at: Option<OffsetDateTime>,
}

impl From<task::Model> for TaskState {
    fn from(row: task::Model) -> Self {
        Self {
            id: row.id,
            owner: row.owner_id,
            task_type: row.task_type,
            output: row.output.map(AnyJson),
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
            output: Some(AnyJson::from(&json!({ "words": 120 }))),
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

/// An artifact: a result of a task, with all its chunks joined.
#[derive(Object)]
#[expect(clippy::struct_field_names, reason = "the names on the wire")]
#[oai(example, skip_serializing_if_is_none)]
pub struct Artifact {
    /// Artifact id, unique within the task. The worker chooses it.
    pub artifact_id: String,
    /// Display name: the newest name that a chunk contained. Absent if no chunk contained a name.
    pub name: Option<String>,
    /// Data of the artifact: the chunks, joined to one string or array, or the value of the only chunk.
    pub data: AnyJson,
    /// Whether the newest chunk was reported as the last one.
    pub last_chunk: bool,
}

impl Example for Artifact {
    fn example() -> Self {
        Self {
            artifact_id: "summary".to_owned(),
            name: Some("Summary".to_owned()),
            data: AnyJson::from(&json!("It was a dark and stormy night.")),
            last_chunk: true,
        }
    }
}

/// A chunk of an artifact to report.
#[derive(Object)]
#[oai(example, deny_unknown_fields)]
pub struct NewArtifact {
    /// Artifact id, unique within the task, 1 to 128 characters. The worker chooses it.
    #[oai(validator(min_length = 1, max_length = 128, pattern = r"^[^\x00-\x1f\x7f]+$"))]
    pub artifact_id: Text,
    /// Display name, 1 to 256 characters. If an appended chunk has no name, the artifact keeps its name.
    #[oai(validator(min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]+$"))]
    pub name: Option<Text>,
    /// Data of the chunk: any JSON value except null, at most 65,536 bytes as JSON. Send larger data in several chunks.
    /// Only strings and arrays can have several chunks.
    pub data: AnyJson,
    /// Whether to append the chunk to the artifact: a string to a string, or an array to an array. With `false`, the
    /// chunk becomes the first chunk and replaces earlier data. The default is `false`.
    #[oai(default)]
    pub append: bool,
    /// Whether this is the last chunk of the artifact. The default is `false`.
    #[oai(default)]
    pub last_chunk: bool,
}

impl Example for NewArtifact {
    fn example() -> Self {
        Self {
            artifact_id: "summary".into(),
            name: Some("Summary".into()),
            data: AnyJson::from(&json!("It was a dark ")),
            append: false,
            last_chunk: false,
        }
    }
}

/// A chunk of an artifact: the data of a `task.artifact` event.
#[derive(Object)]
#[oai(example, skip_serializing_if_is_none)]
pub struct ArtifactChunk {
    /// Task id.
    pub task_id: Uuid,
    /// Number of the attempt that reported the chunk: 1 for the first claim.
    pub attempt: i32,
    /// Number of the report that contained the chunk, from 1 within the attempt.
    pub seq: i64,
    /// Artifact id.
    pub artifact_id: String,
    /// Display name, 1 to 256 characters. Absent if the report contained none.
    pub name: Option<String>,
    /// Data of the chunk: any JSON value except null.
    pub data: AnyJson,
    /// Whether to append the chunk to the artifact. With `false`, the chunk becomes the first chunk and replaces
    /// earlier data. The artifact keeps its position.
    pub append: bool,
    /// Whether this is the last chunk of the artifact.
    pub last_chunk: bool,
    /// Time of the report, UTC. Equal to the new `updated_at` of the task.
    pub at: OffsetDateTime,
}

impl Example for ArtifactChunk {
    fn example() -> Self {
        Self {
            task_id: example_id(),
            attempt: 1,
            seq: 2,
            artifact_id: "summary".to_owned(),
            name: Some("Summary".to_owned()),
            data: AnyJson::from(&json!("and stormy night.")),
            append: true,
            last_chunk: true,
            at: example_time(),
        }
    }
}

/// The data of a `snapshot` event: the task after all events up to the event's `id`.
#[derive(Object)]
#[oai(example, skip_serializing_if_is_none)]
pub struct TaskSnapshot {
    /// The task, with those artifacts that fit into 500,000 bytes of JSON.
    pub task: Task,
    /// Number of artifacts that did not fit: the last ones. Absent if the snapshot has all of them. To get all of them,
    /// call `Get a task`, and open the stream again after the `Last-Event-ID` of that response.
    pub artifacts_left_out: Option<usize>,
    /// Reason why the stream starts over. Absent if it does not start over.
    pub reset: Option<ResetReason>,
}

impl Example for TaskSnapshot {
    fn example() -> Self {
        Self { task: Task::example(), artifacts_left_out: Some(3), reset: None }
    }
}

impl TaskSnapshot {
    /// Leaves the last artifacts out, so that at least `bytes` bytes are removed.
    pub(super) fn shorten(&mut self, bytes: usize) -> bool {
        let Some(artifacts) = &mut self.task.artifacts else { return false };
        let count = count_with_size(artifacts.iter().rev(), bytes);
        artifacts.truncate(artifacts.len() - count);
        *self.artifacts_left_out.get_or_insert_default() += count;
        count > 0
    }
}

fn example_input() -> Value {
    json!({ "document": "chapter-1.txt" })
}
