//! The response of a token endpoint.

use std::{fmt, time::Duration};

use oauth2::{
    RequestTokenError, TokenResponse,
    basic::{
        BasicErrorResponse, BasicErrorResponseType, BasicRequestTokenError, BasicTokenResponse,
    },
};

use super::error::OauthError;
use crate::http_client::HttpError;

/// The tokens that a provider has issued.
pub(super) struct NewTokens {
    pub(super) access: String,
    /// Absent if the provider issued none. A refresh then keeps the old one (RFC 6749, section 6).
    pub(super) refresh: Option<String>,
    pub(super) lifetime: Option<Duration>,
    /// Absent if they are the requested ones (RFC 6749, section 5.1).
    pub(super) scopes: Option<Vec<String>>,
}

impl fmt::Debug for NewTokens {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("NewTokens").field("lifetime", &self.lifetime).finish_non_exhaustive()
    }
}

impl From<BasicTokenResponse> for NewTokens {
    fn from(response: BasicTokenResponse) -> Self {
        let scopes = response.scopes().map(|scopes| {
            // GitHub separates scopes by commas.
            let all = scopes.iter().flat_map(|scope| scope.split(','));
            all.filter(|scope| !scope.is_empty()).map(str::to_owned).collect()
        });
        Self {
            access: response.access_token().secret().clone(),
            refresh: response.refresh_token().map(|token| token.secret().clone()),
            lifetime: response.expires_in(),
            scopes,
        }
    }
}

/// Tells failures that stay from failures that may pass. Only `invalid_grant` stays: the code or the refresh token is
/// used up, revoked or expired (RFC 6749, section 5.2). With a wrong client secret, an administrator can correct the
/// configuration.
pub(super) fn classify(error: BasicRequestTokenError<HttpError>) -> OauthError {
    match error {
        RequestTokenError::ServerResponse(response) => by_code(&response),
        RequestTokenError::Request(error) => error.into(),
        RequestTokenError::Parse(_, body) => match serde_json::from_slice(&body) {
            // GitHub answers 200 with an error in the body.
            Ok(response) => by_code(&response),
            Err(_) => OauthError::Unavailable(
                "the response of its token endpoint is not valid".to_owned(),
            ),
        },
        RequestTokenError::Other(_) => {
            OauthError::Unavailable("its token endpoint reports a failure".to_owned())
        }
    }
}

fn by_code(response: &BasicErrorResponse) -> OauthError {
    match response.error() {
        BasicErrorResponseType::InvalidGrant => OauthError::Refused("invalid_grant"),
        BasicErrorResponseType::Extension(code) => match code.as_str() {
            "bad_verification_code" => OauthError::Refused("bad_verification_code"),
            "bad_refresh_token" => OauthError::Refused("bad_refresh_token"),
            _ => OauthError::Unavailable("its token endpoint reports an unknown error".to_owned()),
        },
        known => OauthError::Unavailable(format!("its token endpoint reports {known}")),
    }
}
