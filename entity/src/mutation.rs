//! Mutations: changes of a topology, queued for a mutator.

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
    /// A worker holds it under a lease.
    Applying,
    /// Done.
    Applied,
    /// Given up.
    Failed,
}

/// A mutation.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "mutation")]
pub struct Model {
    /// UUID version 7: their order is the order of requests.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// The topology to change.
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
    /// Time at which a worker reported the mutation as applied.
    pub applied_at: Option<Timestamp>,
    /// Why it failed.
    pub reason: Option<String>,
    /// Number of claims so far.
    pub attempt: i32,
    /// The fencing token of the newest claim: kept after the end, so that a report that is sent
    /// twice is recognised.
    pub lease_token: Option<Uuid>,
    /// End of that claim's lease.
    pub lease_expires_at: Option<Timestamp>,
    /// Id of the clock setting that `lease_expires_at` is measured by. See `streamgate::clock`.
    pub lease_clock: Option<Uuid>,
}

impl ActiveModelBehavior for ActiveModel {}
