//! An MCP session as a resource with a topic.

use std::sync::Arc;

use async_trait::async_trait;
use entity::mcp_session;
use sea_orm::{ColumnTrait, DbErr, EntityTrait, QueryFilter};
use uuid::Uuid;

use super::{
    close::{close_idle, close_orphans},
    events::EVENTS,
    rows::resource,
    schema::McpSessionSnapshot,
};
use crate::{
    database::Transaction,
    event_log::Retention,
    family::{EventKind, ResourceFamily, ResourceState, Result, wire::ResetReason},
    gateway::Gateway,
    visibility::Resource,
};

/// The family `mcp_session`.
pub struct McpSessionFamily;

#[async_trait]
impl ResourceFamily for McpSessionFamily {
    fn events(&self) -> &'static [EventKind] {
        &EVENTS
    }

    async fn look_up(
        &self,
        gateway: &Gateway,
        id: Uuid,
    ) -> std::result::Result<Option<Resource>, DbErr> {
        let row = mcp_session::Entity::find_by_id(id).one(gateway.database.reader()).await?;
        Ok(row.as_ref().map(resource))
    }

    async fn state(
        &self,
        tx: &Transaction,
        id: Uuid,
        reset: Option<ResetReason>,
    ) -> std::result::Result<Option<ResourceState>, DbErr> {
        let Some(row) = mcp_session::Entity::find_by_id(id).one(tx).await? else { return Ok(None) };
        let terminal = row.closed_at.is_some();
        let snapshot = McpSessionSnapshot { session: row.into(), reset };
        Ok(Some(ResourceState::new(&snapshot, terminal)))
    }

    async fn delete(&self, tx: &Transaction, ids: &[Uuid]) -> std::result::Result<bool, DbErr> {
        mcp_session::Entity::delete_many()
            .filter(mcp_session::Column::Id.is_in(ids.iter().copied()))
            .exec(tx)
            .await?;
        Ok(true)
    }

    async fn cancel_orphans(&self, gateway: &Arc<Gateway>) -> Result<()> {
        close_orphans(gateway).await
    }

    async fn sweep(&self, gateway: &Arc<Gateway>, _: Retention) -> Result<()> {
        close_idle(gateway).await
    }
}
