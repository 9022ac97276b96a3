//! The errors of external tokens.

use sea_orm::DbErr;

use crate::{
    auth::{login_session::SessionError, signing::TokenError},
    http_client::HttpError,
};

/// A token of an external issuer is refused, or cannot be checked.
#[derive(Debug, thiserror::Error)]
pub enum IssuerError {
    /// The token is not valid.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The keys of the issuer are not known and cannot be fetched.
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
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

/// The reason why the keys of an issuer cannot be fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreachable {
    /// The URL is not allowed.
    #[error("the URL of the issuer or of its keys is not allowed")]
    Refused,
    /// The server does not answer.
    #[error("the issuer does not answer")]
    Transport,
    /// The server answers with another status than 200.
    #[error("the issuer answers with another status than 200")]
    Status,
    /// The response is not a discovery document or a set of keys.
    #[error("the response of the issuer is not a discovery document or a set of keys")]
    Content,
    /// The discovery document is of another issuer.
    #[error("the discovery document is of another issuer")]
    OtherIssuer,
}

impl From<HttpError> for Unreachable {
    fn from(error: HttpError) -> Self {
        match error {
            HttpError::Scheme | HttpError::PrivateAddress => Self::Refused,
            HttpError::TooLarge => Self::Content,
            HttpError::Transport(_) => Self::Transport,
        }
    }
}
