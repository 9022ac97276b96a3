//! Tokens of external issuers as credentials.

use poem::Request;

use super::{middleware::RequestInfo, problem::Result};
use crate::{
    auth::{
        issuer::IssuerError,
        login_session::{Principal, SessionError},
        signing::TokenError,
    },
    gateway::Gateway,
};

/// The principal of a token.
pub(super) async fn authenticate(
    gateway: &Gateway,
    request: &Request,
    token: &str,
) -> Result<Principal> {
    let address = request.data::<RequestInfo>().map(|info| info.address);
    let principal = gateway.authenticate_external(token, address).await;
    gateway.telemetry.authenticated(principal.as_ref().map_or_else(outcome, |_| "ok"));
    Ok(principal?)
}

/// Refuses a token that is not valid. A token that cannot be checked at the moment is accepted, because the caller is a
/// visitor, who needs no token.
pub(super) async fn check(gateway: &Gateway, token: &str) -> Result<()> {
    match gateway.issuers.verify(token).await {
        Ok(()) | Err(IssuerError::Unreachable(_)) => Ok(()),
        Err(error) => {
            gateway.telemetry.authenticated(outcome(&error));
            Err(error.into())
        }
    }
}

/// The label of a refusal in the metrics.
fn outcome(error: &IssuerError) -> &'static str {
    match error {
        IssuerError::Token(TokenError::Expired) => "expired",
        IssuerError::Token(TokenError::NotYetValid) => "early",
        IssuerError::Token(TokenError::Invalid) => "invalid",
        IssuerError::NoRole | IssuerError::UnknownUser => "not_admitted",
        IssuerError::Session(SessionError::Ended(_)) => "session_ended",
        IssuerError::Unreachable(_) | IssuerError::Session(SessionError::Database(_)) => "failed",
    }
}
