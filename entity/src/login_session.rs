//! Login sessions.

use sea_orm::entity::prelude::*;

use crate::Timestamp;

/// A login of a user. Access tokens and stream tokens contain the id of the session. They become invalid when the
/// session ends.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "login_session")]
pub struct Model {
    /// UUID version 7. The `sid` claim of the session's tokens.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Id of the user.
    pub user_id: Uuid,
    /// Time of the login.
    pub created_at: Timestamp,
    /// Time at which the session ends without a refresh.
    pub expires_at: Timestamp,
    /// Time at which the session was revoked. Absent before.
    pub revoked_at: Option<Timestamp>,
    /// The user's row.
    #[sea_orm(belongs_to, from = "user_id", to = "id")]
    pub user: BelongsTo<super::user::Entity>,
}

impl ActiveModelBehavior for ActiveModel {}
