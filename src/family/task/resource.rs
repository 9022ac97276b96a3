//! A task as a resource with a topic.

use std::sync::Arc;

use async_trait::async_trait;
use entity::task;
use sea_orm::{DbErr, EntityTrait};
use uuid::Uuid;

use super::{events::EVENTS, lease, orphans, rows, schema::TaskSnapshot, status::is_terminal};
use crate::{
    database::Transaction,
    family::{EventKind, ResourceFamily, ResourceState, Result, wire::ResetReason},
    gateway::Gateway,
    visibility::Resource,
};

/// The family `task`.
pub struct TaskFamily;

#[async_trait]
impl ResourceFamily for TaskFamily {
    fn events(&self) -> &'static [EventKind] {
        &EVENTS
    }

    async fn look_up(
        &self,
        gateway: &Gateway,
        id: Uuid,
    ) -> std::result::Result<Option<Resource>, DbErr> {
        let row = task::Entity::find_by_id(id).one(gateway.database.reader()).await?;
        Ok(row.as_ref().map(rows::resource))
    }

    async fn state(
        &self,
        tx: &Transaction,
        id: Uuid,
        reset: Option<ResetReason>,
    ) -> std::result::Result<Option<ResourceState>, DbErr> {
        let Some(row) = task::Entity::find_by_id(id).one(tx).await? else { return Ok(None) };
        let terminal = is_terminal(row.status);
        let task = rows::with_artifacts(tx, row).await?;
        let snapshot = TaskSnapshot { task, artifacts_left_out: None, reset };
        Ok(Some(ResourceState::with_limit(snapshot, terminal, TaskSnapshot::shorten)))
    }

    async fn delete(&self, tx: &Transaction, ids: &[Uuid]) -> std::result::Result<bool, DbErr> {
        rows::delete(tx, ids).await?;
        Ok(true)
    }

    async fn end_expired_leases(&self, gateway: &Gateway) -> Result<()> {
        lease::end_expired(gateway).await
    }

    async fn cancel_orphans(&self, gateway: &Arc<Gateway>) -> Result<()> {
        orphans::cancel(gateway).await
    }
}
