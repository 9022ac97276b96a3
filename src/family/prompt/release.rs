//! Releases a prompt.

use entity::prompt;
use sea_orm::ActiveModelTrait;
use uuid::Uuid;

use super::{
    events::status_event,
    publish_state::PublishState,
    rows::{lock, revoke_lease, topic, transition},
    schema::{Prompt, PromptLease},
};
use crate::{
    event::Family,
    family::{FamilyError, Result, commit},
    gateway::Gateway,
};

/// Releases a claimed prompt. The prompt is queued again.
///
/// # Errors
/// - [`FamilyError::NotFound`] if the conversation has no prompt with this id.
/// - [`FamilyError::LeaseLost`] if the lease is not the newest or has expired, or if the prompt has ended.
/// - [`FamilyError::Conflict`] if an event was published under the claim, because published events cannot be taken
///   back.
pub async fn release(
    gateway: &Gateway,
    (conversation, id): (Uuid, Uuid),
    lease: &PromptLease,
) -> Result<Prompt> {
    PublishState::load(gateway, conversation, id).await?;
    let tx = gateway.database.begin_write().await?;
    let row = lock(&tx, id).await?;
    PublishState::from(&row).check_lease(lease.lease_token, &gateway.clock.read())?;
    if revoke_lease(gateway, &tx, &row).await? {
        return Err(FamilyError::conflict(
            "an event was published under this claim, so the prompt cannot be released",
        ));
    }
    let row = transition(row, prompt::Status::Queued).update(&tx).await?;
    commit(gateway, tx, &topic(row.id), vec![status_event(&row)?]).await?;
    gateway.notify_workers(Family::Prompt);
    Ok(row.into())
}
