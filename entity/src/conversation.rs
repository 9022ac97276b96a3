//! Conversations: what prompts are asked in.

use sea_orm::entity::prelude::*;

use crate::Timestamp;

/// A conversation. On the wire it is a session (`/v1/sessions`), as the contract has it; here that
/// word, its table and its module belong to logins, which were there first.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "conversation")]
pub struct Model {
    /// UUID version 7.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Whose it is.
    pub owner: Uuid,
    /// A name for people; empty if it was given none.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
}

impl ActiveModelBehavior for ActiveModel {}
