//! Tasks: work that users create and workers execute.

use sea_orm::entity::prelude::*;

use crate::{JsonText, Timestamp};

/// Status of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::N(16))", rename_all = "snake_case")]
pub enum Status {
    /// Waits for a worker.
    Pending,
    /// Claimed by a worker, under a lease.
    Running,
    /// Completed by a worker.
    Completed,
    /// A worker reported that the task failed, or `max_attempts` leases expired.
    Failed,
    /// Cancelled on request, or because the owner was deleted.
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
    /// Input of the task. Absent if the task has none.
    #[sea_orm(column_type = "Text", nullable)]
    pub input: Option<JsonText>,
    /// Names of the OAuth providers at which the owner must have a grant, as a JSON array. Absent if the task requires
    /// none.
    #[sea_orm(column_type = "Text", nullable)]
    pub requires: Option<JsonText>,
    /// Output of the task. Absent unless the task completed with an output.
    #[sea_orm(column_type = "Text", nullable)]
    pub output: Option<JsonText>,
    /// Reason why the task failed. Absent if the task did not fail, or if the worker gave no reason.
    #[sea_orm(column_type = "Text", nullable)]
    pub error: Option<String>,
    /// Status of the task.
    pub status: Status,
    /// Number of claims so far.
    pub attempt: i32,
    /// The task fails when this number of its leases has expired.
    pub max_attempts: i32,
    /// Number of leases that have expired. A released lease does not count.
    pub expired_leases: i32,
    /// End of the grace time after a request to cancel. Absent if cancellation was not requested.
    pub cancel_by: Option<Timestamp>,
    /// Fencing token of the newest claim. Absent while the task is pending. The token remains after the task has ended,
    /// so that a repeated report is recognised.
    pub lease_token: Option<Uuid>,
    /// Duration of the lease after the claim and each renewal, in seconds. 0 before the first claim.
    pub lease_seconds: i64,
    /// End of the lease. Absent without a lease.
    pub lease_expires_at: Option<Timestamp>,
    /// Id of the clock setting of `lease_expires_at` and `cancel_by`. See `streamgate::clock`.
    pub lease_clock: Option<Uuid>,
    /// Number of the newest report under the newest claim. 0 before the first report.
    pub report_seq: i64,
    /// Time of creation.
    pub created_at: Timestamp,
    /// Time of the last change that clients see. The renewal of a lease is not such a change.
    pub updated_at: Timestamp,
    /// Time at which the task reached a terminal status. Absent before.
    pub completed_at: Option<Timestamp>,
}

impl ActiveModelBehavior for ActiveModel {}
