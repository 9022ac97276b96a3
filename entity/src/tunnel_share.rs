//! The users that tunnels are shared with.

use sea_orm::entity::prelude::*;

use crate::Timestamp;

/// Role of a user that a tunnel is shared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::N(16))", rename_all = "snake_case")]
pub enum ShareRole {
    /// The user sees what the MCP server has: its tools, prompts and resources.
    List,
    /// The user can also call tools and send every other request.
    Call,
}

/// A user that may use the MCP server of another user's tunnel.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "tunnel_share")]
pub struct Model {
    /// Id of the tunnel.
    #[sea_orm(primary_key, auto_increment = false)]
    pub tunnel_id: Uuid,
    /// Id of the user.
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: Uuid,
    /// Role of the user.
    pub role: ShareRole,
    /// Time at which the tunnel was shared with the user.
    pub created_at: Timestamp,
    /// The row of the tunnel.
    #[sea_orm(belongs_to, from = "tunnel_id", to = "id")]
    pub tunnel: BelongsTo<super::tunnel::Entity>,
    /// The row of the user.
    #[sea_orm(belongs_to, from = "user_id", to = "id")]
    pub user: BelongsTo<super::user::Entity>,
}

impl ActiveModelBehavior for ActiveModel {}
