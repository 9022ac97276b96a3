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
    /// Role of the login session. Higher than `role` if the request has an older token with a lower role.
    pub(super) session_role: Role,
    /// Tokens of an external issuer that were issued before this time are refused.
    pub(super) revoked_before: Option<Timestamp>,
    /// Number of session changes that this process had announced before the lookup.
    pub(super) changes_seen: u64,
}

impl Principal {
    /// Whether the session was revoked after `issued_at`, the time at which a token was issued, and is in use again. Only a
    /// session of an external issuer can be.
    #[must_use]
    pub fn is_revoked(&self, issued_at: Timestamp) -> bool {
        self.revoked_before.is_some_and(|before| issued_at <= before)
    }

    /// The principal with at most this role. `None` if the session was revoked after `issued_at`, the time at which the
    /// token of an external issuer was issued.
    pub(in crate::auth) fn limited(self, highest: Role, issued_at: Timestamp) -> Option<Self> {
        (!self.is_revoked(issued_at)).then(|| Self { role: self.role.min(highest), ..self })
    }
}

/// The result of a login or a refresh.
#[derive(Debug)]
pub struct SessionGrant {
    /// The user and the login session.
    pub principal: Principal,
    /// The next refresh token. The database stores its hash only.
    pub refresh_token: String,
}
