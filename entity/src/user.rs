//! Users.

use sea_orm::entity::prelude::*;

use crate::Timestamp;

/// Role of a user. Each role may do all that the ones before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::N(16))", rename_all = "snake_case")]
pub enum Role {
    /// Watches.
    Viewer,
    /// Also does the work: claims and reports.
    Agent,
    /// Also changes what is to be done.
    Operator,
    /// Also looks after users.
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
    /// The name to log in with.
    #[sea_orm(unique)]
    pub username: String,
    /// Argon2id, as a PHC string.
    pub password_hash: String,
    /// Role of the user.
    pub role: Role,
    /// A disabled user can neither log in nor go on with what is open.
    pub disabled: bool,
    /// Time of creation.
    pub created_at: Timestamp,
}

impl ActiveModelBehavior for ActiveModel {}
