//! Refresh tokens: stored hashed, used once (RFC 9700, section 4.14.2).

use sea_orm::entity::prelude::*;

use crate::Timestamp;

/// One refresh token that was handed out.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "refresh_token")]
pub struct Model {
    /// SHA-256 of the token, base64url. The token itself is not kept.
    #[sea_orm(primary_key, auto_increment = false)]
    pub hash: String,
    /// The session that it prolongs.
    pub session_id: Uuid,
    /// Time of creation.
    pub created_at: Timestamp,
    /// Time of the first exchange for its successor.
    pub used_at: Option<Timestamp>,
    /// The setting of the wall clock that `used_at` was stamped under.
    pub used_clock: Option<Uuid>,
    /// The successor, sealed under a key that only the token itself gives. Absent before the first
    /// use, after the grace that follows it, and once the successor has been used.
    pub successor: Option<String>,
}

impl ActiveModelBehavior for ActiveModel {}
