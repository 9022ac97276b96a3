//! Refresh tokens: stored as hashes, each used once (RFC 9700, section 4.14.2).

use sea_orm::entity::prelude::*;

use crate::Timestamp;

/// One issued refresh token.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "refresh_token")]
pub struct Model {
    /// SHA-256 of the token in base64url. The token itself is not stored.
    #[sea_orm(primary_key, auto_increment = false)]
    pub hash: String,
    /// Id of the login session that the token extends.
    pub login_session_id: Uuid,
    /// Time of creation.
    pub created_at: Timestamp,
    /// Time of the first use, which created the successor. Absent before.
    pub used_at: Option<Timestamp>,
    /// Id of the clock setting of `used_at`. Absent before the first use. See `streamgate::clock`.
    pub used_clock: Option<Uuid>,
    /// The successor, encrypted with a key that is derived from this token. Absent before the first use of this token,
    /// after the grace time, and after the first use of the successor.
    pub successor: Option<String>,
}

impl ActiveModelBehavior for ActiveModel {}
