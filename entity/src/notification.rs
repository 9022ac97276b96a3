//! Notifications.

use sea_orm::entity::prelude::*;

use crate::{JsonObject, Timestamp};

/// A message to a user.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "notification")]
pub struct Model {
    /// UUID version 7. The order of the ids is the order of creation.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Id of the user that the notification is for.
    pub user_id: Uuid,
    /// Kind of the notification, a dotted name such as `oauth.linked`.
    pub kind: String,
    /// Text for the user.
    pub message: String,
    /// The system that the notification is about, such as the name of an OAuth provider. Absent if there is none.
    pub provider: Option<String>,
    /// Whether the reported action succeeded. Absent if the notification reports no action.
    pub success: Option<bool>,
    /// Further data for programs. Empty if there is none.
    #[sea_orm(column_type = "Text")]
    pub data: JsonObject,
    /// Time of creation.
    pub created_at: Timestamp,
    /// Time at which the user marked the notification as read. Absent before.
    pub read_at: Option<Timestamp>,
}

impl ActiveModelBehavior for ActiveModel {}
