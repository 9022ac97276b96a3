//! The caller.

use entity::{Timestamp, user::Role};
use uuid::Uuid;

/// An authenticated caller.
#[derive(Clone, Debug)]
pub struct Principal {
    /// The user.
    pub user_id: Uuid,
    /// The user's name.
    pub username: String,
    /// Role of the user now, whatever it was at login.
    pub role: Role,
    /// The login that the call belongs to.
    pub session_id: Uuid,
    /// Time at which the login session ends without a refresh.
    pub session_expires_at: Timestamp,
    /// Number of session changes that this process had announced at the look-up.
    pub(super) as_of: u64,
}

/// The result of a login or a refresh.
#[derive(Debug)]
pub struct SessionGrant {
    /// The user and the login session.
    pub principal: Principal,
    /// The next refresh token: shown once, stored only as a hash.
    pub refresh_token: String,
}
