//! Mutations: changes of a topology, queued for workers.

use sea_orm::entity::prelude::*;

use crate::{JsonObject, Timestamp};

/// Operation of a mutation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::N(16))", rename_all = "snake_case")]
pub enum Op {
    /// Add a network.
    AddLan,
    /// Remove a network.
    RemoveLan,
    /// Add a node.
    AddNode,
    /// Connect a node to a network.
    AttachNode,
    /// Disconnect a node from a network.
    DetachNode,
    /// Remove a node.
    RemoveNode,
    /// Change a node.
    UpdateNode,
    /// Change a network.
    UpdateLan,
}

/// State of a mutation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::N(16))", rename_all = "snake_case")]
pub enum State {
    /// Waits for a worker.
    Pending,
    /// Claimed by a worker, under a lease.
    Applying,
    /// A worker reported that the mutation was applied.
    Applied,
    /// A worker reported that the mutation failed, or the topology was torn down.
    Failed,
}

/// A change of a topology that a worker applies.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "mutation")]
pub struct Model {
    /// UUID version 7. The order of the ids is the order of the requests.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Id of the topology to change.
    pub topology_id: Uuid,
    /// Operation to apply.
    pub op: Op,
    /// Parameters of the operation.
    #[sea_orm(column_type = "Text")]
    pub payload: JsonObject,
    /// State of the mutation.
    pub state: State,
    /// Time at which the mutation was enqueued.
    pub requested_at: Timestamp,
    /// Time at which a worker reported the mutation as applied. Absent unless the state is `applied`.
    pub applied_at: Option<Timestamp>,
    /// Reason for the outcome, such as the cause of a failure. Absent if none was given.
    pub reason: Option<String>,
    /// Number of claims so far.
    pub attempt: i32,
    /// Fencing token of the newest claim. Absent while the mutation is pending, and if it failed because the topology
    /// was torn down. The token remains after a report, so that a repeated report is recognised.
    pub lease_token: Option<Uuid>,
    /// End of the lease. Absent without a lease.
    pub lease_expires_at: Option<Timestamp>,
    /// Id of the clock setting of `lease_expires_at`. Absent before the first claim. See `streamgate::clock`.
    pub lease_clock: Option<Uuid>,
}

impl ActiveModelBehavior for ActiveModel {}
