//! The end of a login session.

use sea_orm::DbErr;

/// Reason why a session, or a stream of it, has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// The session was not refreshed in time.
    #[error("the login session has expired")]
    Expired,
    /// The session was revoked: by a logout, by an administrator, or because a refresh token was used twice.
    #[error("the login session was revoked")]
    Revoked,
    /// An administrator has disabled the user.
    #[error("the user is disabled")]
    UserDisabled,
    /// The user has a lower role now than when the stream was opened.
    #[error("the user's role was lowered")]
    RoleLowered,
}

impl Ended {
    /// The reason in `stream.closed` and in metrics.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Expired => "session_expired",
            Self::Revoked => "session_revoked",
            Self::UserDisabled => "user_disabled",
            Self::RoleLowered => "role_lowered",
        }
    }
}

/// The login session cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The session has ended or never existed. Both are reported as revoked, so that a caller does not learn
    /// which.
    #[error(transparent)]
    Ended(#[from] Ended),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DbErr),
}
