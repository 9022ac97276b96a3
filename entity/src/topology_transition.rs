//! The audit trail of topologies.

use sea_orm::entity::prelude::*;

use crate::{Timestamp, topology::Status};

/// One change of a topology's status. Rows are never changed.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "topology_transition")]
pub struct Model {
    /// UUID version 7.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Id of the topology.
    pub topology_id: Uuid,
    /// Status before the change.
    pub from_status: Status,
    /// Status after the change.
    pub to_status: Status,
    /// Time of the change.
    pub at: Timestamp,
    /// Reason for the change. Absent if none was given.
    pub reason: Option<String>,
    /// Id of the user that changed the status. Not a foreign key, because the row remains after the user is deleted.
    pub user_id: Uuid,
}

impl ActiveModelBehavior for ActiveModel {}
