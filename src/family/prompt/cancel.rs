//! Cancels a prompt.

use entity::prompt;
use sea_orm::ActiveModelTrait;
use uuid::Uuid;

use super::{
    events::end_event,
    list::find_in_conversation,
    rows::{lock, transition},
    schema::Prompt,
    status::is_terminal,
};
use crate::{
    auth::login_session::Principal,
    family::{FamilyError, Result, commit},
    gateway::Gateway,
};

/// Cancels a prompt at once. Its agent cannot publish any longer. Changes nothing if the prompt is cancelled already.
///
/// # Errors
/// - [`FamilyError::NotFound`] if the conversation has no prompt with this id, or if the prompt is not visible to the
///   caller.
/// - [`FamilyError::Conflict`] if the prompt has completed or failed.
pub async fn cancel(
    gateway: &Gateway,
    principal: &Principal,
    conversation: Uuid,
    id: Uuid,
) -> Result<Prompt> {
    let topic = find_in_conversation(gateway, principal, conversation, id).await?;
    let tx = gateway.database.begin_write().await?;
    let row = lock(&tx, id).await?;
    if row.status == prompt::Status::Cancelled {
        return Ok(row.into());
    }
    if is_terminal(row.status) {
        return Err(FamilyError::conflict("the prompt has completed or failed"));
    }
    let row = transition(row, prompt::Status::Cancelled).update(&tx).await?;
    let event = end_event("cancelled", "cancelled on request")?;
    commit(gateway, tx, &topic, vec![event]).await?;
    Ok(row.into())
}
