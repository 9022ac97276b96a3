//! Topologies.

use sea_orm::entity::prelude::*;

use crate::{JsonObject, Timestamp};

/// Status of a topology.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::N(16))", rename_all = "snake_case")]
pub enum Status {
    /// Made, not yet deployed.
    Pending,
    /// On its way up.
    Deploying,
    /// Works.
    Active,
    /// Works in part.
    Degraded,
    /// Could not be deployed.
    Failed,
    /// On its way down.
    TearingDown,
    /// Gone, for good.
    TornDown,
}

/// A topology.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "topology")]
pub struct Model {
    /// UUID version 7.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// A name for people, unlike any other's.
    #[sea_orm(unique)]
    pub name: String,
    /// Mode of operation, a word that the operator chooses.
    pub mode: String,
    /// Whatever describes it, a JSON object.
    #[sea_orm(column_type = "Text")]
    pub config: JsonObject,
    /// Status of the topology.
    pub status: Status,
    /// Since when.
    pub status_changed_at: Timestamp,
    /// Counts the accepted changes: 1 when made, one more for every change of status and every
    /// mutation enqueued.
    pub version: i64,
    /// Time of creation.
    pub created_at: Timestamp,
}

impl ActiveModelBehavior for ActiveModel {}
