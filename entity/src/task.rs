//! Tasks: work that users hand in and workers do.

use sea_orm::entity::prelude::*;

use crate::{JsonText, Timestamp};

/// How far a task has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::N(16))", rename_all = "snake_case")]
pub enum Status {
    /// Waits for a worker.
    Pending,
    /// A worker holds it under a lease.
    Running,
    /// Done.
    Completed,
    /// Given up.
    Failed,
    /// Ended because somebody asked for it.
    Cancelled,
}

/// A task.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "task")]
pub struct Model {
    /// UUID version 7: their order is the order of requests.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Who made it.
    pub owner: Uuid,
    /// What a worker must be able to do.
    pub task_type: String,
    /// With what.
    #[sea_orm(column_type = "Text", nullable)]
    pub input: Option<JsonText>,
    /// What came of it.
    #[sea_orm(column_type = "Text", nullable)]
    pub output: Option<JsonText>,
    /// Why it failed.
    #[sea_orm(column_type = "Text", nullable)]
    pub error: Option<String>,
    /// How far it has come.
    pub status: Status,
    /// How often it was claimed.
    pub attempt: i32,
    /// How many leases may run out.
    pub max_attempts: i32,
    /// How many leases have run out: a task that a worker gave back has another attempt, and has
    /// lost none.
    pub lapses: i32,
    /// When it ends at the latest, if somebody has asked for its end.
    pub cancel_by: Option<Timestamp>,
    /// The fencing token of the newest claim: kept after the end, so that a report that is sent
    /// twice is recognised.
    pub lease_token: Option<Uuid>,
    /// For how long that claim holds each time that it is extended.
    pub lease_seconds: i64,
    /// Until when it holds, while it does.
    pub lease_expires_at: Option<Timestamp>,
    /// Id of the clock setting that `lease_expires_at` and `cancel_by` are measured by. See `streamgate::clock`.
    pub lease_clock: Option<Uuid>,
    /// The number of the newest report of that claim.
    pub report_seq: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When anything of it was changed that is shown.
    pub updated_at: Timestamp,
    /// When it ended.
    pub completed_at: Option<Timestamp>,
}

impl ActiveModelBehavior for ActiveModel {}
