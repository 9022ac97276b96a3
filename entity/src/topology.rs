//! Topologies.

use sea_orm::entity::prelude::*;

use crate::{JsonObject, Timestamp};

/// Status of a topology.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::N(16))", rename_all = "snake_case")]
pub enum Status {
    /// Created, not yet deployed.
    Pending,
    /// Deployment is in progress.
    Deploying,
    /// Deployed and working.
    Active,
    /// Deployed, but not fully working.
    Degraded,
    /// The deployment failed.
    Failed,
    /// Removal is in progress.
    TearingDown,
    /// Removed. The status is terminal.
    TornDown,
}

/// A network of nodes that operators deploy and change.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "topology")]
pub struct Model {
    /// UUID version 7.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Display name, unique among topologies.
    #[sea_orm(unique)]
    pub name: String,
    /// Mode of operation, as the operator gave it. The gateway does not interpret it.
    pub mode: String,
    /// Configuration of the topology. Empty if none was given.
    #[sea_orm(column_type = "Text")]
    pub config: JsonObject,
    /// Status of the topology.
    pub status: Status,
    /// Time of the last change of the status.
    pub status_changed_at: Timestamp,
    /// Version of the topology: 1 after its creation, plus 1 for each transition and each enqueued mutation.
    pub version: i64,
    /// Time of creation.
    pub created_at: Timestamp,
}

impl ActiveModelBehavior for ActiveModel {}
