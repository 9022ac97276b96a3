//! Security events.

use sea_orm::entity::prelude::*;

use crate::{JsonObject, Timestamp};

/// A security event. The users and the session in it may have been deleted since.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "audit_event")]
pub struct Model {
    /// UUID version 7, in the order of the events of a gateway.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Time of the event.
    pub at: Timestamp,
    /// Kind of the event, such as `login.succeeded`.
    pub kind: String,
    /// Id of the user that the event is about. Absent if no user has the name of a login.
    pub user_id: Option<Uuid>,
    /// Id of the user that caused the event. Absent if the gateway did, or if the caller is not known.
    pub actor_id: Option<Uuid>,
    /// Id of the login session of the caller. Absent without one.
    pub session_id: Option<Uuid>,
    /// Address of the client. Absent if the gateway caused the event.
    pub address: Option<String>,
    /// Further values of the event. Never a secret.
    #[sea_orm(column_type = "Text")]
    pub data: JsonObject,
}

impl ActiveModelBehavior for ActiveModel {}
