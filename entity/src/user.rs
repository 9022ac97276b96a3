//! Users.

use sea_orm::entity::prelude::*;

use crate::Timestamp;

/// Role of a user. Each role may do everything that the previous roles may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::N(16))", rename_all = "snake_case")]
pub enum Role {
    /// Watches streams. Creates tasks, prompts and MCP sessions.
    Viewer,
    /// Also claims work, publishes and reports results, and notifies users.
    Agent,
    /// Also creates and changes topologies, and enqueues mutations.
    Operator,
    /// Also manages users, and sees the tasks, prompts and MCP sessions of all users.
    Admin,
}

/// A user.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "user")]
pub struct Model {
    /// UUID version 7.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Name for the login.
    #[sea_orm(unique)]
    pub username: String,
    /// Argon2id hash as a PHC string.
    pub password_hash: String,
    /// Role of the user.
    pub role: Role,
    /// Whether the user is disabled. A disabled user cannot log in, and has no valid login session.
    pub disabled: bool,
    /// Time of creation.
    pub created_at: Timestamp,
}

impl ActiveModelBehavior for ActiveModel {}
