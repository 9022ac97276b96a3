//! Conversations on the wire, where they are called sessions.

use entity::conversation;
use poem_openapi::{Object, types::Example};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::family::wire::{Text, example_id, example_time};

/// A session to create.
#[derive(Object)]
#[oai(rename = "NewSession", example, deny_unknown_fields)]
pub struct NewConversation {
    /// Display name, at most 128 characters. The default is an empty string.
    #[oai(validator(max_length = 128, pattern = r"^[^\x00-\x1f\x7f]*$"))]
    pub name: Option<Text>,
}

impl Example for NewConversation {
    fn example() -> Self {
        Self { name: Some("planning the move".into()) }
    }
}

/// A session, which contains prompts.
#[derive(Object)]
#[oai(rename = "Session", example)]
pub struct Conversation {
    /// Session id.
    pub id: Uuid,
    /// Id of the user that the session belongs to.
    pub owner: Uuid,
    /// Display name. Empty if none was given.
    pub name: String,
    /// Time of creation, UTC.
    pub created_at: OffsetDateTime,
}

impl From<conversation::Model> for Conversation {
    fn from(row: conversation::Model) -> Self {
        Self {
            id: row.id,
            owner: row.owner_id,
            name: row.name,
            created_at: row.created_at.datetime(),
        }
    }
}

impl Example for Conversation {
    fn example() -> Self {
        Self {
            id: example_id(),
            owner: example_id(),
            name: "planning the move".to_owned(),
            created_at: example_time(),
        }
    }
}
