//! Tasks: work that users create and workers execute.

use sea_orm::entity::prelude::*;

use crate::{JsonText, Timestamp};

/// Status of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::N(16))", rename_all = "snake_case")]
pub enum Status {
    /// Waits for a worker.
    Pending,
    /// A worker holds it under a lease.
    Running,
    /// Completed by a worker.
    Completed,
    /// Failed.
    Failed,
    /// Cancelled on request.
    Cancelled,
}

/// A task.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "task")]
pub struct Model {
    /// UUID version 7. The order of the ids is the order of the requests.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Id of the user that the task belongs to.
    pub owner_id: Uuid,
    /// Type of the task: the skill that a worker needs.
    pub task_type: String,
    /// Input of the task.
    #[sea_orm(column_type = "Text", nullable)]
    pub input: Option<JsonText>,
    /// Output of the task.
    #[sea_orm(column_type = "Text", nullable)]
    pub output: Option<JsonText>,
    /// Reason why the task failed.
    #[sea_orm(column_type = "Text", nullable)]
    pub error: Option<String>,
    /// Status of the task.
    pub status: Status,
    /// Number of claims so far.
    pub attempt: i32,
    /// Number of leases that may expire before the task fails.
    pub max_attempts: i32,
    /// Number of leases that have expired. A released task has another attempt, but no expired lease.
    pub expired_leases: i32,
    /// Time by which the task ends after a cancellation was requested. Absent before.
    pub cancel_by: Option<Timestamp>,
    /// Fencing token of the newest claim. It stays after the task has ended, so that a repeated report is
    /// recognised.
    pub lease_token: Option<Uuid>,
    /// Duration of the lease after each renewal, in seconds.
    pub lease_seconds: i64,
    /// End of the lease. Absent without a lease.
    pub lease_expires_at: Option<Timestamp>,
    /// Id of the clock setting that `lease_expires_at` and `cancel_by` are measured by. See `streamgate::clock`.
    pub lease_clock: Option<Uuid>,
    /// Sequence number of the newest report under the newest claim.
    pub report_seq: i64,
    /// Time of creation.
    pub created_at: Timestamp,
    /// Time of the last change that clients see.
    pub updated_at: Timestamp,
    /// Time at which the task reached a terminal status.
    pub completed_at: Option<Timestamp>,
}

impl ActiveModelBehavior for ActiveModel {}
