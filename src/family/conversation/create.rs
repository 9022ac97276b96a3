//! Creates a conversation.

use entity::{Timestamp, conversation};
use sea_orm::{ActiveModelTrait, IntoActiveModel};
use uuid::Uuid;

use super::schema::{Conversation, NewConversation};
use crate::{auth::login_session::Principal, family::Result, gateway::Gateway};

/// Creates a conversation that belongs to the caller.
pub async fn create(
    gateway: &Gateway,
    principal: &Principal,
    new: NewConversation,
) -> Result<Conversation> {
    let row = conversation::Model {
        id: Uuid::now_v7(),
        owner_id: principal.user_id,
        name: new.name.map(|name| name.0).unwrap_or_default(),
        created_at: Timestamp::now(),
    };
    let row = row.into_active_model().insert(gateway.database.writer()).await?;
    Ok(row.into())
}
