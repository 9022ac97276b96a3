//! The row of a prompt.

use entity::{Timestamp, prompt};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, DbErr, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder,
    QuerySelect, Select,
};
use uuid::Uuid;

use super::status::is_terminal;
use crate::{
    database::Transaction,
    event::{Family, Topic},
    family::{FamilyError, Result},
    gateway::Gateway,
    visibility::Resource,
};

/// The topic of a prompt.
#[must_use]
pub fn topic(id: Uuid) -> Topic {
    Topic::new(Family::Prompt, id)
}

/// A prompt is visible to its owner. Its path leads through its conversation.
pub(super) fn resource(owner: Uuid, conversation: Uuid) -> Resource {
    Resource { parent: Some(conversation), ..Resource::owned_by(owner) }
}

/// The prompt, locked until the transaction ends. Everything that changes its status locks the row first and then
/// the event log, so two changes cannot deadlock.
pub(super) async fn lock(tx: &Transaction, id: Uuid) -> Result<prompt::Model> {
    let row = prompt::Entity::find_by_id(id).lock_exclusive().one(tx).await?;
    row.ok_or(FamilyError::NotFound)
}

/// The queued prompts, oldest first.
pub(super) fn queued() -> Select<prompt::Entity> {
    prompt::Entity::find()
        .filter(prompt::Column::Status.eq(prompt::Status::Queued))
        .order_by_asc(prompt::Column::Id)
}

/// A transition of a locked prompt. It ends the lease.
pub(super) fn transition(row: prompt::Model, to: prompt::Status) -> prompt::ActiveModel {
    let now = Timestamp::now();
    let mut change = row.into_active_model();
    change.status = Set(to);
    change.updated_at = Set(now);
    change.completed_at = Set(is_terminal(to).then_some(now));
    change.lease_token = Set(None);
    change.lease_expires_at = Set(None);
    change
}

/// Takes the lease of a locked prompt back, so that its agent cannot publish any longer. Returns whether the agent
/// has published an event.
pub(super) async fn revoke_lease(
    gateway: &Gateway,
    tx: &Transaction,
    row: &prompt::Model,
) -> std::result::Result<bool, DbErr> {
    let (log, topic) = (gateway.hub.log(), topic(row.id));
    // First, because it locks the log: no event is added from here on.
    log.fence(tx, &topic, None).await?;
    Ok(log.position(tx, &topic).await?.seq > row.claim_seq)
}
