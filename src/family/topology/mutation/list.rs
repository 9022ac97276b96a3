//! Lists the mutations of a topology.

use entity::mutation;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;

use super::schema::{Mutation, MutationState};
use crate::{
    auth::login_session::Principal,
    family::{
        Result, find_visible,
        topology::rows::topic,
        wire::{Page, page_limit},
    },
    gateway::Gateway,
};

/// A page of the mutations of a topology, oldest first. With `state`, only mutations in this state.
///
/// # Errors
/// [`FamilyError::NotFound`](crate::family::FamilyError::NotFound) if the topology does not exist.
pub async fn list(
    gateway: &Gateway,
    principal: &Principal,
    topology: Uuid,
    state: Option<MutationState>,
    (after, limit): (Option<Uuid>, Option<u64>),
) -> Result<Page<Mutation>> {
    find_visible(gateway, principal, &topic(topology)).await?;
    let limit = page_limit(limit);
    let mut query = mutation::Entity::find()
        .filter(mutation::Column::TopologyId.eq(topology))
        .filter(mutation::Column::Id.gt(after.unwrap_or(Uuid::nil())))
        .order_by_asc(mutation::Column::Id)
        .limit(limit + 1);
    if let Some(state) = state {
        query = query.filter(mutation::Column::State.eq(mutation::State::from(state)));
    }
    let rows = query.all(gateway.database.reader()).await?;
    Ok(Page::new(rows, limit, |row| (row.id, row.payload.as_str().len())))
}
