//! The end of a login session.

use sea_orm::DbErr;

/// Why a session, or a stream under it, may not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// Its time is over.
    #[error("the login session has expired")]
    Expired,
    /// It was ended: a logout, an administrator, a refresh token that was used twice.
    #[error("the session was revoked")]
    Revoked,
    /// The user may not use the service any more.
    #[error("the user is disabled")]
    UserDisabled,
    /// The user has a lower role than when the stream was opened.
    #[error("the user's role was lowered")]
    RoleLowered,
}

impl Ended {
    /// The word for it in `stream.closed` and in metrics.
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

/// Why a session could not be had.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The login session has ended, or never existed. Both count as revoked, so a caller does not learn which.
    #[error(transparent)]
    Ended(#[from] Ended),
    /// The database did not say.
    #[error(transparent)]
    Database(#[from] DbErr),
}
