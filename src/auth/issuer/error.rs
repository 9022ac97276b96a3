//! The errors of external tokens.

use sea_orm::DbErr;

use crate::{
    auth::{login_session::SessionError, signing::TokenError},
    http_client::DocumentError,
};

/// A token of an external issuer is refused, or cannot be checked.
#[derive(Debug, thiserror::Error)]
pub enum IssuerError {
    /// The token is not valid.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The keys of the issuer are not known and cannot be fetched.
    #[error(transparent)]
    Unreachable(#[from] DocumentError),
    /// The token has no role of this gateway.
    #[error("the issuer gives this user no role of the gateway")]
    NoRole,
    /// The user does not exist, and is not created at the first use of a token.
    #[error("the user of this token does not exist here")]
    UnknownUser,
    /// The login session cannot be used.
    #[error(transparent)]
    Session(#[from] SessionError),
}

impl From<DbErr> for IssuerError {
    fn from(error: DbErr) -> Self {
        Self::Session(error.into())
    }
}
