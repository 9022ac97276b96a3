//! Notifications.

use sea_orm::entity::prelude::*;

use crate::{JsonObject, Timestamp};

/// Something that a user is told.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "notification")]
pub struct Model {
    /// UUID version 7: their order is the order in which they were made.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Id of the user that the notification is for.
    pub user_id: Uuid,
    /// About what, a dotted name.
    pub kind: String,
    /// In words.
    pub message: String,
    /// Whose doing it was, such as the name of an OAuth provider.
    pub provider: Option<String>,
    /// Whether it went well, if it could have gone otherwise.
    pub success: Option<bool>,
    /// Whatever else there is to know, a JSON object.
    #[sea_orm(column_type = "Text")]
    pub data: JsonObject,
    /// Time of creation.
    pub created_at: Timestamp,
    /// Time at which the user marked the notification as read.
    pub read_at: Option<Timestamp>,
}

impl ActiveModelBehavior for ActiveModel {}
