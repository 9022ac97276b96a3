//! The caller.

use entity::{Timestamp, login_session::Method, user::Role};
use uuid::Uuid;

use super::families::Families;

/// An authenticated caller.
#[derive(Clone, Debug)]
pub struct Principal {
    /// Id of the user.
    pub user_id: Uuid,
    /// Name of the user.
    pub username: String,
    /// Current role: the role of the user, or the highest role of the session if that is lower.
    pub role: Role,
    /// The kind of session, which says how its requests are authenticated.
    pub method: Method,
    /// The families that the caller may use.
    pub families: Families,
    /// Id of the login session.
    pub session_id: Uuid,
    /// Time at which the login session ends without a refresh.
    pub session_expires_at: Timestamp,
    /// Time at which the login session ends even if it is refreshed.
    pub session_ends_at: Timestamp,
    /// Number of session changes that this process had announced before the lookup.
    pub(super) changes_seen: u64,
}

/// The result of a login or a refresh.
#[derive(Debug)]
pub struct SessionGrant {
    /// The user and the login session.
    pub principal: Principal,
    /// The next refresh token. The database stores its hash only.
    pub refresh_token: String,
}
