//! Tasks on the wire, for workers.

use entity::task;
use poem_openapi::{Object, types::Example};
use serde_json::json;
use time::OffsetDateTime;
use uuid::Uuid;

use super::schema::{NewArtifact, Task, TaskState, TaskStatus};
use crate::family::{
    FamilyError, Result,
    wire::{AnyJson, Text, example_id, example_time, wire_enum},
};

/// A request to claim tasks.
#[derive(Object)]
#[oai(example, deny_unknown_fields)]
pub struct ClaimTasks {
    /// Types of tasks that the worker can execute: a list of 1 to 100 types.
    #[oai(validator(
        min_items = 1,
        max_items = 100,
        min_length = 1,
        max_length = 128,
        pattern = "^[A-Za-z0-9_.:-]+$"
    ))]
    pub skills: Vec<Text>,
    /// Maximum number of tasks, from 1 to 50. The default is 1.
    #[oai(validator(minimum(value = "1"), maximum(value = "50")))]
    pub max: Option<u64>,
    /// Maximum time to wait for a task if none can be claimed, in seconds, from 0 to 60. The default is 0. A task that
    /// is created through another gateway is found with the next heartbeat.
    #[oai(validator(minimum(value = "0"), maximum(value = "60")))]
    pub wait_seconds: Option<u64>,
    /// Duration of the lease after each claim, renewal or report, in seconds, from 1 to 3,600. The default is 60.
    #[oai(validator(minimum(value = "1"), maximum(value = "3600")))]
    pub lease_seconds: Option<u32>,
}

impl Example for ClaimTasks {
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
#[oai(example)]
pub struct ClaimedTask {
    /// The task, with the artifacts of earlier attempts.
    pub task: Task,
    /// Number of claims so far, this one included.
    pub attempt: i32,
    /// Lease token of the claim. Send it with every renewal, report and release. Only the token of the newest claim is
    /// accepted.
    pub lease_token: Uuid,
    /// Time at which the lease expires without a renewal or a report, UTC. Then the task is pending again. After
    /// `max_attempts` expired leases, the task fails.
    pub lease_expires_at: OffsetDateTime,
}

impl Example for ClaimedTask {
    fn example() -> Self {
        Self {
            task: Task {
                state: TaskState {
                    status: TaskStatus::Running,
                    output: None,
                    completed_at: None,
                    ..TaskState::example()
                },
                artifacts: Some(Vec::new()),
                ..Task::example()
            },
            attempt: 1,
            lease_token: example_id(),
            lease_expires_at: example_time(),
        }
    }
}

/// The lease of a claimed task, to renew or release.
#[derive(Object)]
#[oai(example, deny_unknown_fields)]
pub struct TaskLease {
    /// Lease token of the claim.
    pub lease_token: Uuid,
}

impl Example for TaskLease {
    fn example() -> Self {
        Self { lease_token: example_id() }
    }
}

/// A renewed lease.
#[derive(Object)]
#[oai(example)]
pub struct RenewedTaskLease {
    /// New time at which the lease expires, UTC.
    pub lease_expires_at: OffsetDateTime,
    /// Whether cancellation was requested. If `true`, stop the work and report `cancelled`. The lease ends with the
    /// grace time (`tasks.cancel_grace_seconds` of the configuration) at the latest.
    pub cancel_requested: bool,
}

impl Example for RenewedTaskLease {
    fn example() -> Self {
        Self { lease_expires_at: example_time(), cancel_requested: false }
    }
}

wire_enum! {
    /// Progress of a task in a report.
    pub TaskProgress = task::Status {
        /// The worker continues to execute the task.
        Running,
        /// The task is completed.
        Completed,
        /// The task failed.
        Failed,
        /// The task was cancelled on request.
        Cancelled,
    }
}

/// A report of a worker: a status, a chunk of an artifact, or both.
#[derive(Object)]
#[oai(example, deny_unknown_fields, skip_serializing_if_is_none)]
pub struct TaskReport {
    /// Lease token of the claim.
    pub lease_token: Uuid,
    /// Number of the report within the attempt: 1, 2, 3 and so on.
    #[oai(validator(minimum(value = "1")))]
    pub seq: i64,
    /// Status of the task. Every status except `running` ends the task and the lease. Required without `artifact`.
    pub status: Option<TaskProgress>,
    /// Output of the task: any JSON value, at most 65,536 bytes as JSON. Allowed only with the status `completed`. Null
    /// means no output, like an absent field.
    pub output: Option<AnyJson>,
    /// Reason why the task failed, at most 4,000 characters. Allowed only with the status `failed`.
    #[oai(validator(max_length = 4000, pattern = r"^[^\x00]*$"))]
    pub error: Option<Text>,
    /// A chunk of an artifact. Required without `status`.
    pub artifact: Option<NewArtifact>,
}

impl TaskReport {
    /// Refuses a report with a combination of fields that is not allowed.
    ///
    /// # Errors
    /// [`FamilyError::BadInput`] names the first field that is missing or not allowed.
    pub fn check(&self) -> Result<()> {
        if self.status.is_none() && self.artifact.is_none() {
            let reason = "a report must have a status, an artifact, or both";
            return Err(FamilyError::bad_input("the body", reason));
        }
        if self.output.is_some() && self.status != Some(TaskProgress::Completed) {
            let reason = "allowed only with the status completed";
            return Err(FamilyError::bad_input("output", reason));
        }
        if self.error.is_some() && self.status != Some(TaskProgress::Failed) {
            return Err(FamilyError::bad_input("error", "allowed only with the status failed"));
        }
        let Some(artifact) = &self.artifact else { return Ok(()) };
        if artifact.data.is_null() {
            return Err(FamilyError::bad_input("artifact.data", "missing or null"));
        }
        if artifact.append && !artifact.data.0.as_str().starts_with(['"', '[']) {
            let reason = "only a string or an array can be appended";
            return Err(FamilyError::bad_input("artifact.append", reason));
        }
        Ok(())
    }
}

impl Example for TaskReport {
    fn example() -> Self {
        Self {
            lease_token: example_id(),
            seq: 1,
            status: Some(TaskProgress::Completed),
            output: Some(AnyJson::from(&json!({ "words": 120 }))),
            error: None,
            artifact: Some(NewArtifact::example()),
        }
    }
}
