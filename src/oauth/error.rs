//! The errors of the engine. None of them contains a token, a code or a secret.

use sea_orm::DbErr;

use super::keyring::KeyringError;
use crate::http_client::{DocumentError, HttpError};

/// The reason why an authorization, a refresh or a revocation failed.
#[derive(Debug, thiserror::Error)]
pub enum OauthError {
    /// No provider with this name is configured.
    #[error("no OAuth provider with this name is configured")]
    UnknownProvider,
    /// The authorization does not exist, has expired, was used, or belongs to another browser.
    #[error("this authorization is not valid, has expired or was used: begin again")]
    UnknownAuthorization,
    /// The response of the authorization endpoint came from another provider (RFC 9207).
    #[error("the response came from another provider: begin again")]
    OtherIssuer,
    /// The provider has refused a code or a refresh token. Trying again does not help.
    #[error("the provider has refused the request ({0})")]
    Refused(&'static str),
    /// The provider cannot be used at the moment, or its configuration is wrong. Trying again may help.
    #[error("the provider cannot be used at the moment: {0}")]
    Unavailable(String),
    /// The user has no grant that can be used.
    #[error("the user has no valid grant at this provider")]
    NoGrant,
    /// The tokens cannot be encrypted or decrypted.
    #[error(transparent)]
    Keys(#[from] KeyringError),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DbErr),
}

impl From<HttpError> for OauthError {
    fn from(error: HttpError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl From<DocumentError> for OauthError {
    fn from(error: DocumentError) -> Self {
        Self::Unavailable(format!("its discovery document: {error}"))
    }
}
