//! The stream token of a request.

use super::problem::Result;
use crate::{
    auth::{signing::TokenError, stream_claims::StreamClaims},
    gateway::Gateway,
};

/// A stream token that this gateway has signed.
pub(super) struct PresentedToken {
    pub(super) claims: StreamClaims,
    /// Whether the token has expired. Then it can only resume the stream that it opened before.
    pub(super) is_expired: bool,
}

/// Verifies a stream token. With `may_resume`, accepts an expired token that can resume a stream.
pub(super) async fn verify(
    gateway: &Gateway,
    token: &str,
    may_resume: bool,
) -> Result<std::result::Result<PresentedToken, TokenError>> {
    let error = match gateway.tokens.verify_stream(token) {
        Ok(claims) => return Ok(Ok(PresentedToken { claims, is_expired: false })),
        Err(TokenError::Expired) if may_resume => TokenError::Expired,
        Err(error) => return Ok(Err(error)),
    };
    let claims = match gateway.tokens.verify_expired_stream(token) {
        Ok(claims) => claims,
        Err(error) => return Ok(Err(error)),
    };
    let may_resume = gateway.stream_tokens.may_resume(&claims).await.inspect_err(|_| {
        gateway.telemetry.authenticated("failed");
    })?;
    Ok(if may_resume { Ok(PresentedToken { claims, is_expired: true }) } else { Err(error) })
}
