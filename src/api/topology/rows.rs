//! Finding and locking a topology's row.

use std::time::Instant;

use entity::topology;
use sea_orm::{DatabaseTransaction, DbErr, EntityTrait, QuerySelect};
use uuid::Uuid;

use super::topic;
use crate::{
    api::problem::{Problem, Result},
    existence::Resource,
    gateway::Gateway,
    session::Principal,
};

/// What there is to know before anything else is done with the topology, or 404: from memory if it
/// is known, timed.
pub(in crate::api) async fn exists(
    gateway: &Gateway,
    principal: &Principal,
    id: Uuid,
) -> Result<Resource> {
    let began = Instant::now();
    let look_up = async {
        let row = topology::Entity::find_by_id(id).one(gateway.database.reader()).await?;
        Ok::<_, DbErr>(row.map(|_| RESOURCE))
    };
    let found = gateway.existence.find(&topic(id), principal.user_id, look_up).await;
    gateway.telemetry.looked_up("topology", began.elapsed());
    found?.ok_or_else(Problem::not_found)
}

/// Everybody who is logged in may see a topology.
pub(super) const RESOURCE: Resource = Resource { owner: None };

/// The topology, or 404, timed.
pub(in crate::api) async fn find(gateway: &Gateway, id: Uuid) -> Result<topology::Model> {
    let began = Instant::now();
    let row = topology::Entity::find_by_id(id).one(gateway.database.reader()).await;
    gateway.telemetry.looked_up("topology", began.elapsed());
    row?.ok_or_else(Problem::not_found)
}

/// The topology, locked until the transaction ends, or 404. Everything that changes a topology or
/// its mutations locks this row first, so no two changes can block each other.
pub(super) async fn lock(tx: &DatabaseTransaction, id: Uuid) -> Result<topology::Model> {
    let row = topology::Entity::find_by_id(id).lock_exclusive().one(tx).await?;
    row.ok_or_else(Problem::not_found)
}
