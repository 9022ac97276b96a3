//! The caller.

use entity::{Timestamp, user::Role};
use uuid::Uuid;

/// Who calls.
#[derive(Clone, Debug)]
pub struct Principal {
    /// The user.
    pub user_id: Uuid,
    /// The user's name.
    pub username: String,
    /// What the user may do now, whatever it was at login.
    pub role: Role,
    /// The login that the call belongs to.
    pub session_id: Uuid,
    /// When the session ends unless it is refreshed.
    pub session_expires_at: Timestamp,
    /// How many changes of sessions this process had announced when this was looked up.
    pub(super) as_of: u64,
}

/// What a login or a refresh hands out.
#[derive(Debug)]
pub struct Opened {
    /// Who it is.
    pub principal: Principal,
    /// The next refresh token: shown once, stored only as a hash.
    pub refresh_token: String,
}
