//! Finding and locking a topology's row.

use std::time::Instant;

use entity::topology;
use sea_orm::{EntityTrait, QuerySelect};
use uuid::Uuid;

use crate::{
    api::problem::{Problem, Result},
    database::Transaction,
    gateway::Gateway,
};

/// The topology, or 404, timed.
pub(super) async fn find(gateway: &Gateway, id: Uuid) -> Result<topology::Model> {
    let began = Instant::now();
    let row = topology::Entity::find_by_id(id).one(gateway.database.reader()).await;
    gateway.telemetry.looked_up("topology", began.elapsed());
    row?.ok_or_else(Problem::not_found)
}

/// The topology, locked until the transaction ends, or 404. Everything that changes a topology or
/// its mutations locks this row first, so no two changes can block each other.
pub(super) async fn lock(tx: &Transaction, id: Uuid) -> Result<topology::Model> {
    let row = topology::Entity::find_by_id(id).lock_exclusive().one(tx).await?;
    row.ok_or_else(Problem::not_found)
}
