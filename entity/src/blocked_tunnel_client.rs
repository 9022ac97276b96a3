//! Tunnel clients that may not connect.

use sea_orm::entity::prelude::*;

use crate::Timestamp;

/// A tunnel client that may not connect, because its tunnel was deleted.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "blocked_tunnel_client")]
pub struct Model {
    /// UUID version 7.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Id of the user that the client authenticates as.
    pub owner_id: Uuid,
    /// Id of the API key of the client. Absent with another credential.
    pub key_id: Option<Uuid>,
    /// The name that the client asks for.
    pub client_name: String,
    /// Id of the user that deleted the tunnel.
    pub blocked_by: Uuid,
    /// Time at which the tunnel was deleted.
    pub created_at: Timestamp,
}

impl ActiveModelBehavior for ActiveModel {}
