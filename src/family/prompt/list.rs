//! Reads prompts.

use entity::prompt;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;

use super::{rows::topic, schema::Prompt};
use crate::{
    auth::login_session::Principal,
    event::Topic,
    family::{
        FamilyError, Result, conversation, find_visible,
        wire::{Page, page_limit},
    },
    gateway::Gateway,
};

/// A page of the prompts of a conversation, oldest first.
///
/// # Errors
/// [`FamilyError::NotFound`] if the conversation does not exist or is not visible to the caller.
pub async fn list(
    gateway: &Gateway,
    principal: &Principal,
    conversation: Uuid,
    (after, limit): (Option<Uuid>, Option<u64>),
) -> Result<Page<Prompt>> {
    let conversation = conversation::find(gateway, principal, conversation).await?;
    let limit = page_limit(limit);
    let rows = prompt::Entity::find()
        .filter(prompt::Column::ConversationId.eq(conversation.id))
        .filter(prompt::Column::Id.gt(after.unwrap_or(Uuid::nil())))
        .order_by_asc(prompt::Column::Id)
        .limit(limit + 1)
        .all(gateway.database.reader())
        .await?;
    Ok(Page::new(rows, limit, |row| (row.id, row.text.len())))
}

/// A prompt that the caller may see.
///
/// # Errors
/// [`FamilyError::NotFound`] if the conversation has no prompt with this id, or if the prompt is not visible to the
/// caller.
pub async fn get(
    gateway: &Gateway,
    principal: &Principal,
    conversation: Uuid,
    id: Uuid,
) -> Result<Prompt> {
    find_in_conversation(gateway, principal, conversation, id).await?;
    let row = prompt::Entity::find_by_id(id).one(gateway.database.reader()).await?;
    Ok(row.ok_or(FamilyError::NotFound)?.into())
}

/// The topic of a prompt that the caller may see. Under the path of another session, the prompt is not found.
///
/// # Errors
/// [`FamilyError::NotFound`] if the conversation has no prompt with this id, or if the prompt is not visible to the
/// caller.
pub async fn find_in_conversation(
    gateway: &Gateway,
    principal: &Principal,
    conversation: Uuid,
    id: Uuid,
) -> Result<Topic> {
    let topic = topic(id);
    let resource = find_visible(gateway, principal, &topic).await?;
    if resource.parent == Some(conversation) { Ok(topic) } else { Err(FamilyError::NotFound) }
}
