//! Prompts: users create them in a conversation, and agents answer them.

use sea_orm::entity::prelude::*;

use crate::{JsonText, Timestamp};

/// Status of a prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::N(16))", rename_all = "snake_case")]
pub enum Status {
    /// Waits for an agent.
    Queued,
    /// Claimed by an agent, or being answered without a claim.
    Processing,
    /// The answer is complete.
    Completed,
    /// An agent published `error`, or the answer stopped: the lease expired, or no event came for too long.
    Failed,
    /// Cancelled on request or by the agent, or because the owner was deleted.
    Cancelled,
}

/// A request of a user that agents answer.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "prompt")]
pub struct Model {
    /// UUID version 7. The order of the ids is the order of the requests.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Id of the conversation that contains the prompt.
    pub conversation_id: Uuid,
    /// Id of the user that the conversation belongs to.
    pub owner_id: Uuid,
    /// Text of the prompt.
    #[sea_orm(column_type = "Text")]
    pub text: String,
    /// Names of the OAuth providers at which the owner must have a grant, as a JSON array. Absent if the prompt requires
    /// none.
    #[sea_orm(column_type = "Text", nullable)]
    pub requires: Option<JsonText>,
    /// Status of the prompt.
    pub status: Status,
    /// Number of claims so far.
    pub attempt: i32,
    /// Time of creation.
    pub created_at: Timestamp,
    /// Time of the last change of the status.
    pub updated_at: Timestamp,
    /// Time at which the prompt reached a terminal status. Absent before.
    pub completed_at: Option<Timestamp>,
    /// Fencing token of the newest claim. Absent without a lease.
    pub lease_token: Option<Uuid>,
    /// End of the lease. Absent without a lease.
    pub lease_expires_at: Option<Timestamp>,
    /// Id of the clock setting of `lease_expires_at`. Absent before the first claim. See `streamgate::clock`.
    pub lease_clock: Option<Uuid>,
    /// Duration of the lease after the claim and each renewal, in seconds. 0 before the first claim.
    pub lease_seconds: i32,
    /// Sequence number of the event that reported the newest claim. While the lease is valid, all later events were
    /// published under this claim. 0 before the first claim.
    pub claim_seq: i64,
}

impl ActiveModelBehavior for ActiveModel {}
