//! Reads topologies and their transitions.

use entity::{topology, topology_transition};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;

use super::{
    rows::{find, topic},
    schema::{Topology, TopologyStatus, Transition},
};
use crate::{
    auth::login_session::Principal,
    family::{
        Result, find_visible,
        wire::{Page, page_limit},
    },
    gateway::Gateway,
};

/// A topology. Every user may see it.
///
/// # Errors
/// [`FamilyError::NotFound`](crate::family::FamilyError::NotFound) if the topology does not exist.
pub async fn get(gateway: &Gateway, id: Uuid) -> Result<Topology> {
    Ok(find(gateway, id).await?.into())
}

/// A page of all topologies, oldest first. With `status`, only topologies with this status.
pub async fn list(
    gateway: &Gateway,
    status: Option<TopologyStatus>,
    (after, limit): (Option<Uuid>, Option<u64>),
) -> Result<Page<Topology>> {
    let limit = page_limit(limit);
    let mut query = topology::Entity::find()
        .filter(topology::Column::Id.gt(after.unwrap_or(Uuid::nil())))
        .order_by_asc(topology::Column::Id)
        .limit(limit + 1);
    if let Some(status) = status {
        query = query.filter(topology::Column::Status.eq(topology::Status::from(status)));
    }
    let rows = query.all(gateway.database.reader()).await?;
    Ok(Page::new(rows, limit, |row| (row.id, row.config.as_str().len())))
}

/// A page of the transitions of a topology, oldest first.
///
/// # Errors
/// [`FamilyError::NotFound`](crate::family::FamilyError::NotFound) if the topology does not exist.
pub async fn list_transitions(
    gateway: &Gateway,
    principal: &Principal,
    id: Uuid,
    (after, limit): (Option<Uuid>, Option<u64>),
) -> Result<Page<Transition>> {
    find_visible(gateway, principal, &topic(id)).await?;
    let limit = page_limit(limit);
    let rows = topology_transition::Entity::find()
        .filter(topology_transition::Column::TopologyId.eq(id))
        .filter(topology_transition::Column::Id.gt(after.unwrap_or(Uuid::nil())))
        .order_by_asc(topology_transition::Column::Id)
        .limit(limit + 1)
        .all(gateway.database.reader())
        .await?;
    Ok(Page::new(rows, limit, |row| (row.id, 0)))
}
