//! Reads conversations.

use entity::{conversation, user::Role};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;

use super::schema::Conversation;
use crate::{
    auth::login_session::Principal,
    family::{
        FamilyError, Result,
        wire::{Page, page_limit},
    },
    gateway::Gateway,
};

/// A page of the caller's conversations, oldest first. An administrator gets the conversations of all users.
pub async fn list(
    gateway: &Gateway,
    principal: &Principal,
    (after, limit): (Option<Uuid>, Option<u64>),
) -> Result<Page<Conversation>> {
    let limit = page_limit(limit);
    let mut query = conversation::Entity::find()
        .filter(conversation::Column::Id.gt(after.unwrap_or(Uuid::nil())))
        .order_by_asc(conversation::Column::Id)
        .limit(limit + 1);
    if principal.role != Role::Admin {
        query = query.filter(conversation::Column::OwnerId.eq(principal.user_id));
    }
    let rows = query.all(gateway.database.reader()).await?;
    Ok(Page::new(rows, limit, |row| (row.id, 0)))
}

/// A conversation that the caller may see.
///
/// # Errors
/// [`FamilyError::NotFound`] if the conversation does not exist or is not visible to the caller.
pub async fn get(gateway: &Gateway, principal: &Principal, id: Uuid) -> Result<Conversation> {
    Ok(find(gateway, principal, id).await?.into())
}

/// The row of a conversation that the caller may see.
///
/// # Errors
/// [`FamilyError::NotFound`] if the conversation does not exist or is not visible to the caller.
pub async fn find(
    gateway: &Gateway,
    principal: &Principal,
    id: Uuid,
) -> Result<conversation::Model> {
    let row = conversation::Entity::find_by_id(id).one(gateway.database.reader()).await?;
    row.filter(|row| principal.role == Role::Admin || row.owner_id == principal.user_id)
        .ok_or(FamilyError::NotFound)
}
