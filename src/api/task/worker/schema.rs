//! What workers send and get.

use entity::task;
use poem_openapi::{
    Object,
    types::{Any, Example},
};
use serde_json::{Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::api::{
    example_id, example_time, mirror,
    problem::{Problem, Result},
    task::schema::{NewArtifact, Task, TaskStatus},
    text::Text,
};

/// What a worker asks for.
#[derive(Object)]
#[oai(rename = "TaskClaim", example, deny_unknown_fields)]
pub(super) struct Claim {
    /// The types of tasks that it can do, from 1 to 100.
    #[oai(validator(
        min_items = 1,
        max_items = 100,
        min_length = 1,
        max_length = 128,
        pattern = "^[A-Za-z0-9_.:-]+$"
    ))]
    pub(super) skills: Vec<Text>,
    /// How many tasks at most; 1 if absent.
    #[oai(validator(minimum(value = "1"), maximum(value = "50")))]
    pub(super) max: Option<u64>,
    /// How long to wait when there is nothing to do, in seconds; 0 if absent. Work that comes through
    /// another gateway on the same database is found one heartbeat later at the latest.
    #[oai(validator(minimum(value = "0"), maximum(value = "60")))]
    pub(super) wait_seconds: Option<u64>,
    /// How long the claim is to hold from each sign of life on; 60 if absent.
    #[oai(validator(minimum(value = "1"), maximum(value = "3600")))]
    pub(super) lease_seconds: Option<u32>,
}

impl Example for Claim {
    fn example() -> Self {
        Self {
            skills: vec!["summarize".into(), "translate".into()],
            max: Some(1),
            wait_seconds: Some(0),
            lease_seconds: Some(60),
        }
    }
}

/// A task under a lease.
#[derive(Object)]
#[oai(rename = "ClaimedTask", example)]
pub(super) struct Claimed {
    /// The task, with what was made of it in earlier attempts.
    pub(super) task: Task,
    /// How often it has been claimed, this time included.
    pub(super) attempt: i32,
    /// Shows that this claim is still the newest.
    pub(super) lease_token: Uuid,
    /// Until when the claim holds unless a heartbeat or a report extends it. After that the task is
    /// somebody else's.
    pub(super) lease_expires_at: OffsetDateTime,
}

impl Example for Claimed {
    fn example() -> Self {
        Self {
            task: Task {
                status: TaskStatus::Running,
                output: None,
                artifacts: Some(Vec::new()),
                completed_at: None,
                ..Task::example()
            },
            attempt: 1,
            lease_token: example_id(),
            lease_expires_at: example_time(),
        }
    }
}

/// The lease that a worker holds.
#[derive(Object)]
#[oai(rename = "TaskLease", example, deny_unknown_fields)]
pub(super) struct Lease {
    /// The token of the claim.
    pub(super) lease_token: Uuid,
}

impl Example for Lease {
    fn example() -> Self {
        Self { lease_token: example_id() }
    }
}

/// What a worker is told when it shows that it is alive.
#[derive(Object)]
#[oai(rename = "TaskHeartbeat", example)]
pub(super) struct Heartbeat {
    /// Until when the claim holds now.
    pub(super) lease_expires_at: OffsetDateTime,
    /// Whether the worker is to end the task with a report of `cancelled`. Then no heartbeat makes the
    /// lease longer than the grace time.
    pub(super) cancel_requested: bool,
}

impl Example for Heartbeat {
    fn example() -> Self {
        Self { lease_expires_at: example_time(), cancel_requested: false }
    }
}

mirror! {
    /// How a task goes on or has ended.
    pub(super) TaskProgress = task::Status { Running, Completed, Failed, Cancelled }
}

/// What a worker has done: a note that it goes on, a chunk of an artifact, or the end.
#[derive(Object)]
#[oai(rename = "TaskReport", example, deny_unknown_fields, skip_serializing_if_is_none)]
pub(super) struct Report {
    /// The token of the claim.
    pub(super) lease_token: Uuid,
    /// The number of this report: 1, 2, 3 and so on within the attempt.
    #[oai(validator(minimum(value = "1")))]
    pub(super) seq: i64,
    /// How the task goes on. What is not `running` ends it and the lease.
    pub(super) status: Option<TaskProgress>,
    /// With `completed`: what came of it, any JSON, at most 65,536 bytes of it.
    pub(super) output: Option<Any<Value>>,
    /// With `failed`: why.
    #[oai(validator(max_length = 4000, pattern = r"^[^\x00]*$"))]
    pub(super) error: Option<Text>,
    /// A chunk of an artifact.
    pub(super) artifact: Option<NewArtifact>,
}

impl Report {
    /// 400 for what makes no sense, whatever the task.
    pub(super) fn check(&self) -> Result<()> {
        let wrong = if self.status.is_none() && self.artifact.is_none() {
            "a report has a status, an artifact, or both"
        } else if self.output.is_some() && self.status != Some(TaskProgress::Completed) {
            "output: only with the status completed"
        } else if self.error.is_some() && self.status != Some(TaskProgress::Failed) {
            "error: only with the status failed"
        } else {
            match self.artifact.as_ref().map(|artifact| (&artifact.data.0, artifact.append)) {
                Some((Value::Null, _)) => "artifact.data: missing, or null",
                None | Some((_, false) | (Value::String(_) | Value::Array(_), true)) => {
                    return Ok(());
                }
                Some(_) => "artifact.append: only a text or an array can be appended",
            }
        };
        Err(Problem::bad_request(wrong))
    }
}

impl Example for Report {
    fn example() -> Self {
        Self {
            lease_token: example_id(),
            seq: 1,
            status: Some(TaskProgress::Completed),
            output: Some(Any(json!({ "words": 120 }))),
            error: None,
            artifact: Some(NewArtifact::example()),
        }
    }
}
