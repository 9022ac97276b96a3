//! Creates a prompt.

use entity::{Timestamp, prompt, user};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, EntityTrait, IntoActiveModel, PaginatorTrait, QueryFilter,
    QuerySelect,
};
use uuid::Uuid;

use super::{
    rows::{resource, topic},
    schema::{NewPrompt, Prompt},
    status::UNFINISHED,
};
use crate::{
    auth::login_session::Principal,
    event::Family,
    family::{FamilyError, Result, conversation, oauth},
    gateway::Gateway,
};

/// Maximum size of the text of a prompt, in bytes.
const MAX_TEXT: usize = 65_536;

/// Maximum number of unfinished prompts of an owner. So one owner cannot fill the work queue, which all owners share.
const MAX_UNFINISHED: u64 = 1_000;

/// Creates a prompt in a conversation. The prompt belongs to the owner of the conversation.
///
/// # Errors
/// - [`FamilyError::NotFound`] if the conversation does not exist or is not visible to the caller.
/// - [`FamilyError::TooMany`] if the owner has 1,000 unfinished prompts.
/// - [`FamilyError::BadInput`] if the text is too large.
pub async fn create(
    gateway: &Gateway,
    principal: &Principal,
    conversation: Uuid,
    new: NewPrompt,
) -> Result<Prompt> {
    let conversation = conversation::find(gateway, principal, conversation).await?;
    let text = new.prompt.0;
    if text.len() > MAX_TEXT {
        return Err(FamilyError::bad_input("prompt", format!("more than {MAX_TEXT} bytes")));
    }
    let requires = oauth::check_new(gateway, conversation.owner_id, new.requires).await?;
    let lookup = gateway.visibility.start_lookup();
    let tx = gateway.database.begin_write().await?;
    // Locks the owner's row, so that concurrent requests cannot exceed the maximum.
    let owner =
        user::Entity::find_by_id(conversation.owner_id).select_only().column(user::Column::Id);
    owner.lock_exclusive().into_tuple::<Uuid>().one(&tx).await?;
    let unfinished = prompt::Entity::find()
        .filter(prompt::Column::OwnerId.eq(conversation.owner_id))
        .filter(prompt::Column::Status.is_in(UNFINISHED));
    if unfinished.count(&tx).await? >= MAX_UNFINISHED {
        return Err(FamilyError::TooMany("this owner has 1,000 unfinished prompts already"));
    }
    let now = Timestamp::now();
    let row = prompt::Model {
        id: Uuid::now_v7(),
        conversation_id: conversation.id,
        owner_id: conversation.owner_id,
        text,
        requires,
        status: prompt::Status::Queued,
        attempt: 0,
        created_at: now,
        updated_at: now,
        completed_at: None,
        lease_token: None,
        lease_expires_at: None,
        lease_clock: None,
        lease_seconds: 0,
        claim_seq: 0,
    };
    let row = row.into_active_model().insert(&tx).await?;
    gateway.hub.log().create(&tx, &topic(row.id)).await?;
    gateway.hub.commit(tx, Vec::new()).await?;
    gateway.visibility.insert(
        topic(row.id),
        resource(row.owner_id, conversation.id, row.requires.is_some()),
        lookup,
    );
    gateway.notify_workers(Family::Prompt);
    Ok(row.into())
}
