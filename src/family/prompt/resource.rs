//! A prompt as a resource with a topic.

use std::sync::Arc;

use async_trait::async_trait;
use entity::{JsonText, prompt};
use sea_orm::{ColumnTrait, DbErr, EntityTrait, QueryFilter, QuerySelect};
use uuid::Uuid;

use super::{
    events::{EVENTS, logged_event},
    idle, lease, orphans,
    rows::{resource, topic},
    schema::PromptSnapshot,
    status::is_terminal,
};
use crate::{
    database::Transaction,
    event::MAX_DATA,
    event_log::{EventLog, ReadLimit, Retention},
    family::{EventKind, ResourceFamily, ResourceState, Result, wire::ResetReason},
    gateway::Gateway,
    visibility::Resource,
};

/// Limits of the events in a snapshot. Most answers are smaller, so a client that connects late gets the complete
/// answer.
const SNAPSHOT: ReadLimit = ReadLimit { events: 1_000, bytes: MAX_DATA };

/// The family `prompt`.
pub struct PromptFamily;

#[async_trait]
impl ResourceFamily for PromptFamily {
    fn events(&self) -> &'static [EventKind] {
        &EVENTS
    }

    async fn look_up(
        &self,
        gateway: &Gateway,
        id: Uuid,
    ) -> std::result::Result<Option<Resource>, DbErr> {
        let found: Option<(Uuid, Uuid, Option<JsonText>)> = prompt::Entity::find_by_id(id)
            .select_only()
            .columns([
                prompt::Column::OwnerId,
                prompt::Column::ConversationId,
                prompt::Column::Requires,
            ])
            .into_tuple()
            .one(gateway.database.reader())
            .await?;
        Ok(found.map(|(owner, conversation, requires)| {
            resource(owner, conversation, requires.is_some())
        }))
    }

    async fn state(
        &self,
        tx: &Transaction,
        id: Uuid,
        reset: Option<ResetReason>,
    ) -> std::result::Result<Option<ResourceState>, DbErr> {
        let Some(row) = prompt::Entity::find_by_id(id).one(tx).await? else { return Ok(None) };
        let (events, earlier) = EventLog::newest(tx, &topic(id), SNAPSHOT).await?;
        let terminal = is_terminal(row.status);
        let events = events.iter().map(logged_event).collect();
        let snapshot = PromptSnapshot { prompt: row.into(), events, earlier, reset };
        Ok(Some(ResourceState::with_limit(snapshot, terminal, PromptSnapshot::shorten)))
    }

    async fn delete(&self, tx: &Transaction, ids: &[Uuid]) -> std::result::Result<bool, DbErr> {
        let ids = prompt::Column::Id.is_in(ids.iter().copied());
        prompt::Entity::delete_many().filter(ids).exec(tx).await?;
        Ok(true)
    }

    async fn end_expired_leases(&self, gateway: &Gateway) -> Result<()> {
        lease::end_expired(gateway).await
    }

    async fn cancel_orphans(&self, gateway: &Arc<Gateway>) -> Result<()> {
        orphans::cancel(gateway).await
    }

    async fn sweep(&self, gateway: &Arc<Gateway>, _: Retention) -> Result<()> {
        idle::fail_idle(gateway).await
    }
}
