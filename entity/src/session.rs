//! A login and what became of it.

use sea_orm::entity::prelude::*;

use crate::Timestamp;

/// One login of one user. Access tokens and stream tokens name it and are worth nothing without it.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "session")]
pub struct Model {
    /// UUID version 7; the `sid` claim of its tokens.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Whose it is.
    pub user_id: Uuid,
    /// Time of the login.
    pub created_at: Timestamp,
    /// Time at which the session ends without a refresh.
    pub expires_at: Timestamp,
    /// Time at which the session was revoked.
    pub revoked_at: Option<Timestamp>,
    /// Whose it is, as a row.
    #[sea_orm(belongs_to, from = "user_id", to = "id")]
    pub user: BelongsTo<super::user::Entity>,
}

impl ActiveModelBehavior for ActiveModel {}
