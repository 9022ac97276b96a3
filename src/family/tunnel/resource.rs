//! A tunnel as a resource with a topic.

use std::sync::Arc;

use async_trait::async_trait;
use entity::tunnel;
use sea_orm::{ColumnTrait, DbErr, EntityTrait, QueryFilter};
use uuid::Uuid;

use super::{
    end::{delete_away, delete_orphans},
    events::EVENTS,
    rows::resource,
    schema::TunnelSnapshot,
};
use crate::{
    database::Transaction,
    event_log::Retention,
    family::{EventKind, ResourceFamily, ResourceState, Result, wire::ResetReason},
    gateway::Gateway,
    visibility::Resource,
};

/// The family `tunnel`.
pub struct TunnelFamily;

#[async_trait]
impl ResourceFamily for TunnelFamily {
    fn events(&self) -> &'static [EventKind] {
        &EVENTS
    }

    async fn look_up(
        &self,
        gateway: &Gateway,
        id: Uuid,
    ) -> std::result::Result<Option<Resource>, DbErr> {
        let row = tunnel::Entity::find_by_id(id).one(gateway.database.reader()).await?;
        // A deleted tunnel is found, so that its streams can end with its last event.
        Ok(row.as_ref().map(resource))
    }

    async fn state(
        &self,
        tx: &Transaction,
        id: Uuid,
        reset: Option<ResetReason>,
    ) -> std::result::Result<Option<ResourceState>, DbErr> {
        let Some(row) = tunnel::Entity::find_by_id(id).one(tx).await? else { return Ok(None) };
        let terminal = row.deleted_at.is_some();
        let snapshot = TunnelSnapshot { tunnel: row.into(), reset };
        Ok(Some(ResourceState::new(&snapshot, terminal)))
    }

    async fn delete(&self, tx: &Transaction, ids: &[Uuid]) -> std::result::Result<bool, DbErr> {
        tunnel::Entity::delete_many()
            .filter(tunnel::Column::Id.is_in(ids.iter().copied()))
            .exec(tx)
            .await?;
        Ok(true)
    }

    async fn cancel_orphans(&self, gateway: &Arc<Gateway>) -> Result<()> {
        delete_orphans(gateway).await
    }

    async fn sweep(&self, gateway: &Arc<Gateway>, _: Retention) -> Result<()> {
        delete_away(gateway).await
    }
}
