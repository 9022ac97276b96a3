//! A topology as a resource with a topic.

use async_trait::async_trait;
use entity::topology;
use sea_orm::{DbErr, EntityTrait};
use uuid::Uuid;

use super::{
    events::EVENTS,
    mutation::{Mutation, end_expired, list_unfinished},
    schema::TopologySnapshot,
};
use crate::{
    database::Transaction,
    family::{EventKind, ResourceFamily, ResourceState, Result, wire::ResetReason},
    gateway::Gateway,
    visibility::Resource,
};

/// The family `topology`.
pub struct TopologyFamily;

#[async_trait]
impl ResourceFamily for TopologyFamily {
    fn events(&self) -> &'static [EventKind] {
        &EVENTS
    }

    async fn look_up(
        &self,
        gateway: &Gateway,
        id: Uuid,
    ) -> std::result::Result<Option<Resource>, DbErr> {
        let row = topology::Entity::find_by_id(id).one(gateway.database.reader()).await?;
        // Every user may see a topology.
        Ok(row.map(|_| Resource::PUBLIC))
    }

    async fn state(
        &self,
        tx: &Transaction,
        id: Uuid,
        reset: Option<ResetReason>,
    ) -> std::result::Result<Option<ResourceState>, DbErr> {
        let Some(row) = topology::Entity::find_by_id(id).one(tx).await? else { return Ok(None) };
        let mutations = list_unfinished(tx, id).await?;
        let terminal = row.status == topology::Status::TornDown;
        let mutations = mutations.into_iter().map(Mutation::from).collect();
        let topology = row.into();
        let snapshot = TopologySnapshot { topology, mutations, mutations_left_out: None, reset };
        Ok(Some(ResourceState::with_limit(snapshot, terminal, TopologySnapshot::shorten)))
    }

    async fn end_expired_leases(&self, gateway: &Gateway) -> Result<()> {
        end_expired(gateway).await
    }
}
