//! Prompts: what is asked in a conversation, answered by an agent.

use sea_orm::entity::prelude::*;

use crate::Timestamp;

/// How far a prompt has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::N(16))", rename_all = "snake_case")]
pub enum Status {
    /// Waits for an agent.
    Queued,
    /// An agent is at it.
    Processing,
    /// Answered.
    Completed,
    /// Given up.
    Failed,
    /// No longer wanted.
    Cancelled,
}

/// A prompt.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "prompt")]
pub struct Model {
    /// UUID version 7: their order is the order of requests.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Where it is asked.
    pub conversation_id: Uuid,
    /// Whose conversation that is.
    pub owner: Uuid,
    /// What is asked.
    #[sea_orm(column_type = "Text")]
    pub text: String,
    /// How far it has come.
    pub status: Status,
    /// How often it was claimed.
    pub attempt: i32,
    /// When it was asked.
    pub created_at: Timestamp,
    /// When its status changed.
    pub updated_at: Timestamp,
    /// When it ended.
    pub completed_at: Option<Timestamp>,
    /// The fencing token of the newest claim, while that holds.
    pub lease_token: Option<Uuid>,
    /// Until when it holds.
    pub lease_expires_at: Option<Timestamp>,
    /// Id of the clock setting that `lease_expires_at` is measured by. See `streamgate::clock`.
    pub lease_clock: Option<Uuid>,
    /// How long it was to hold, and by how much it is extended.
    pub lease_seconds: i32,
    /// The number of the event that told of the newest claim: whatever stands behind it was
    /// published under that claim.
    pub claim_seq: i64,
}

impl ActiveModelBehavior for ActiveModel {}
