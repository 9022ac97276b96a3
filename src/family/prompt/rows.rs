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

/// A prompt is visible to its owner. Its URL path contains the conversation, which is the parent.
pub(super) fn resource(owner: Uuid, conversation: Uuid, needs_grant: bool) -> Resource {
    Resource { parent: Some(conversation), needs_grant, ..Resource::owned_by(owner) }
}

/// Locks a prompt until the transaction ends. Every change of the status locks this row first, and then the event log.
/// So two changes cannot deadlock.
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

/// The change of a locked prompt to another status. The change also ends the lease.
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

/// Revokes the lease of a locked prompt, so that the agent cannot publish any longer. Returns whether an event was
/// published under the lease.
pub(super) async fn revoke_lease(
    gateway: &Gateway,
    tx: &Transaction,
    row: &prompt::Model,
) -> std::result::Result<bool, DbErr> {
    let (log, topic) = (gateway.hub.log(), topic(row.id));
    // The fence is first because it locks the topic. No event is added from here on.
    log.fence(tx, &topic, None).await?;
    Ok(log.position(tx, &topic).await?.seq > row.claim_seq)
}
