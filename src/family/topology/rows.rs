//! The row of a topology.

use std::time::Instant;

use entity::topology;
use sea_orm::{EntityTrait, QuerySelect};
use uuid::Uuid;

use crate::{
    database::Transaction,
    event::{Family, Topic},
    family::{FamilyError, Result},
    gateway::Gateway,
};

/// The topic of a topology.
#[must_use]
pub fn topic(id: Uuid) -> Topic {
    Topic::new(Family::Topology, id)
}

/// Reads a topology. Records the duration of the lookup in the metrics.
pub(super) async fn find(gateway: &Gateway, id: Uuid) -> Result<topology::Model> {
    let began = Instant::now();
    let row = topology::Entity::find_by_id(id).one(gateway.database.reader()).await;
    gateway.telemetry.looked_up("topology", began.elapsed());
    row?.ok_or(FamilyError::NotFound)
}

/// Locks a topology until the transaction ends. Every change of a topology or its mutations locks this row first, so
/// two changes cannot deadlock.
pub(super) async fn lock(tx: &Transaction, id: Uuid) -> Result<topology::Model> {
    let row = topology::Entity::find_by_id(id).lock_exclusive().one(tx).await?;
    row.ok_or(FamilyError::NotFound)
}
