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
    /// Argon2id hash as a PHC string. Empty for a user of an external issuer, who has no password.
    pub password_hash: String,
    /// Role of the user.
    pub role: Role,
    /// Whether the user is disabled. A disabled user cannot log in, and has no valid login session.
    pub disabled: bool,
    /// Time of creation.
    pub created_at: Timestamp,
    /// The external issuer that authenticates the user. Absent for a user with a password.
    #[sea_orm(column_type = "Text", nullable)]
    pub issuer: Option<String>,
    /// The `sub` claim of the user at the external issuer. Absent for a user with a password.
    #[sea_orm(column_type = "Text", nullable)]
    pub subject: Option<String>,
    /// Name of the user as the external issuer reports it, for people. Absent for a user with a password.
    #[sea_orm(column_type = "Text", nullable)]
    pub display_name: Option<String>,
    /// Time of the last revocation of all login sessions. Tokens of an external issuer that were issued before it are
    /// refused. Absent before the first one.
    pub revoked_before: Option<Timestamp>,
    /// Role of the newest token of the external issuer. No API key of the user has a higher role. Absent for a user with a
    /// password, and before the first token.
    pub issuer_role: Option<Role>,
    /// Time at which this token was issued.
    pub issuer_role_at: Option<Timestamp>,
}

impl ActiveModelBehavior for ActiveModel {}
