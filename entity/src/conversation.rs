//! Conversations, which contain prompts.

use sea_orm::entity::prelude::*;

use crate::Timestamp;

/// A conversation. On the wire a conversation is a session (`/v1/sessions`). In the code, "session" alone means
/// a login session.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "conversation")]
pub struct Model {
    /// UUID version 7.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Id of the user that the conversation belongs to.
    pub owner_id: Uuid,
    /// Display name. Empty if the user gave none.
    pub name: String,
    /// Time of creation.
    pub created_at: Timestamp,
}

impl ActiveModelBehavior for ActiveModel {}
