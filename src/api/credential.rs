//! The credential of a request, and the principal that it proves.

use std::{sync::Arc, time::Instant};

use entity::{login_session::Method, user::Role};
use poem::{
    Request,
    http::{self, HeaderMap, header},
};
use uuid::Uuid;

use super::{
    external_token,
    middleware::{RequestInfo, RequestOrigin},
    presented_token::{self, PresentedToken},
    problem::{Kind, Problem, Result},
    session_cookie,
};
use crate::{
    auth::{
        api_key,
        login_session::{Ended, Principal, SessionError},
        signing::TokenError,
    },
    gateway::Gateway,
};

/// The query parameter that carries a stream token.
pub(super) const STREAM_TOKEN: &str = "stream_token";

/// The credential of a request.
pub(super) enum Credential {
    /// An access token, in the `Authorization` header.
    Access(String),
    /// An API key, in the `Authorization` header.
    ApiKey(String),
    /// A stream token, in the query of a stream.
    Stream(String),
    /// The value of the session cookie.
    Cookie(String),
    /// The name of a user, from a trusted proxy.
    Proxy(Arc<str>),
}

/// The credentials that a browser or a proxy adds to every request.
#[derive(Clone, Copy)]
pub(super) struct SentByBrowser<'a> {
    /// The name of the session cookie on this connection.
    pub(super) cookie_name: Option<&'static str>,
    /// The user that a trusted proxy names.
    pub(super) proxy_user: Option<&'a str>,
}

/// The result of the authentication of a request.
pub(super) struct Authenticated {
    pub(super) principal: Principal,
    /// The stream token. Absent with another credential.
    pub(super) stream_token: Option<PresentedToken>,
    /// Whether the credential is the session cookie.
    pub(super) by_cookie: bool,
}

impl Credential {
    /// Reads the credential. An access token in the query is refused even if the header is valid, because a proxy may
    /// have logged the token (RFC 9700, section 4.3.2). A cookie counts only if no other credential is sent, because the
    /// browser adds it to every request. For the same reason, the header of a proxy comes last.
    pub(super) fn from_request(
        gateway: &Gateway,
        request: &Request,
        streams: bool,
    ) -> Result<Option<Self>> {
        let query: Vec<(String, String)> = request.params().unwrap_or_default();
        let in_query = |(name, value): &(String, String)| {
            name == "access_token"
                || value.starts_with(api_key::PREFIX)
                || (value.starts_with("eyJ")
                    && (gateway.tokens.is_own_access_token(value)
                        || gateway.issuers.is_external(value)))
        };
        if query.iter().any(in_query) {
            gateway.telemetry.authenticated("in_query");
            return Err(Problem::invalid_token(
                "an access token must not be in a URL: send it in the Authorization header, or \
                 mint a stream token",
            ));
        }
        if request.headers().contains_key(header::AUTHORIZATION) {
            return bearer(request.headers())
                .map(|token| {
                    let is_key = token.starts_with(api_key::PREFIX);
                    let kind = if is_key { Self::ApiKey } else { Self::Access };
                    Some(kind(token.to_owned()))
                })
                .ok_or_else(|| {
                    gateway.telemetry.authenticated("invalid");
                    Problem::invalid_token("the Authorization header must contain a bearer token")
                });
        }
        let stream_token = query.into_iter().find(|(name, _)| name == STREAM_TOKEN);
        match stream_token {
            Some((_, token)) if streams => Ok(Some(Self::Stream(token))),
            Some(_) => {
                gateway.telemetry.authenticated("invalid");
                Err(Problem::invalid_token("a stream token is accepted on streams only"))
            }
            None => {
                let Some(info) = request.data::<RequestInfo>() else { return Ok(None) };
                let name = info.cookie_name;
                let value = name.and_then(|name| session_cookie::value(request.headers(), name));
                let cookie = value.map(|value| Self::Cookie(value.to_owned()));
                Ok(cookie.or_else(|| info.proxy_user.clone().map(Self::Proxy)))
            }
        }
    }

    /// The principal and the stream token, if there is one. With `may_resume`, the token may be one that has expired and
    /// can resume a stream.
    pub(super) async fn authenticate(
        self,
        gateway: &Gateway,
        request: &Request,
        may_resume: bool,
    ) -> Result<Authenticated> {
        let began = Instant::now();
        let caller = self.identify(gateway, request, may_resume).await;
        gateway.telemetry.caller_identified(began.elapsed());
        caller
    }

    async fn identify(
        self,
        gateway: &Gateway,
        request: &Request,
        may_resume: bool,
    ) -> Result<Authenticated> {
        let by_cookie = matches!(self, Self::Cookie(_));
        let mut issued_at = None;
        let claims = match self {
            Self::Access(token) if gateway.issuers.is_external(&token) => {
                let principal = external_token::authenticate(gateway, request, &token).await?;
                return Ok(Authenticated { principal, stream_token: None, by_cookie });
            }
            Self::Access(token) => {
                gateway.tokens.verify_access(&token).map(|claims| (claims.sid, claims.sub, None))
            }
            Self::ApiKey(text) => gateway
                .api_keys
                .authenticate(&text)
                .await
                .inspect_err(|_| gateway.telemetry.authenticated("failed"))?
                .map(|(session, user)| (session, user, None))
                .ok_or(TokenError::Invalid),
            Self::Stream(token) => {
                presented_token::verify(gateway, &token, may_resume).await?.map(|token| {
                    issued_at = Some(token.claims.issued_at());
                    (token.claims.sid, token.claims.sub, Some(token))
                })
            }
            Self::Cookie(value) => {
                if let Some(info) = request.data() {
                    check_origin(gateway, info)?;
                }
                gateway.session_cookies.verify(&value).map(|claims| {
                    issued_at = Some(claims.issued_at());
                    (claims.sid, claims.sub, None)
                })
            }
            Self::Proxy(username) => {
                if let Some(info) = request.data() {
                    check_origin(gateway, info)?;
                }
                let (session, user) = of_proxy(gateway, &username).await?;
                Ok((session, user, None))
            }
        };
        // A browser sends a cookie that is of no use until it expires, so the response removes it.
        let remove_cookie = |problem: Problem| match request.data::<RequestInfo>() {
            Some(info) if by_cookie => session_cookie::removed_by(problem, info),
            _ => problem,
        };
        let (session, user, stream_token) =
            claims.map_err(|error| remove_cookie(refused(gateway, error)))?;
        let mut principal = validate(gateway, session, user).await;
        if let (Ok(found), Some(issued_at)) = (&principal, issued_at)
            && found.is_revoked(issued_at)
        {
            principal = Err(Ended::Revoked.into());
        }
        gateway.telemetry.authenticated(match &principal {
            Ok(_) => "ok",
            Err(SessionError::Database(_)) => "failed",
            Err(_) => "session_ended",
        });
        let mut principal = match principal {
            Ok(principal) => principal,
            Err(SessionError::Database(error)) => return Err(error.into()),
            Err(error) => return Err(remove_cookie(error.into())),
        };
        // The session of an external issuer ends with its tokens.
        let extends = by_cookie && principal.method == Method::Password;
        if extends || principal.method == Method::Proxy {
            gateway.login_sessions.extend(&mut principal).await;
        }
        if principal.method == Method::ApiKey
            && let Some(info) = request.data::<RequestInfo>()
        {
            gateway.api_key_used(&principal, info.address).await;
        }
        Ok(Authenticated { principal, stream_token, by_cookie })
    }
}

/// Refuses a request with a cookie that a page of another origin makes. A method that can change something needs an
/// origin, because browsers send it with these methods (Fetch standard, section 3.1).
pub(super) fn check_origin(gateway: &Gateway, info: &RequestInfo) -> Result<()> {
    let is_safe = matches!(info.method, http::Method::GET | http::Method::HEAD);
    let detail = match info.origin {
        RequestOrigin::Own | RequestOrigin::Allowed(_) => return Ok(()),
        RequestOrigin::Absent if is_safe => return Ok(()),
        RequestOrigin::Absent => {
            "a request with the session cookie that can change something needs the header Origin"
        }
        RequestOrigin::Other => {
            "the session cookie is not accepted from this origin; see server.allowed_origins and server.public_url"
        }
    };
    gateway.telemetry.authenticated("other_origin");
    Err(Problem::new(Kind::Forbidden, detail))
}

/// Whether the request has a credential that is good enough to read its body: a verified token, whose login session may
/// have ended.
pub(super) async fn is_valid(
    gateway: &Gateway,
    request: &Request,
    known: SentByBrowser<'_>,
) -> bool {
    if request.headers().contains_key(header::AUTHORIZATION) {
        let Some(token) = bearer(request.headers()) else { return false };
        if token.starts_with(api_key::PREFIX) {
            return matches!(gateway.api_keys.authenticate(token).await, Ok(Some(_)));
        }
        if gateway.issuers.is_external(token) {
            return gateway.issuers.verify(token).await.is_ok();
        }
        return gateway.tokens.is_valid_access_token(token);
    }
    let value = known.cookie_name;
    let value = value.and_then(|name| session_cookie::value(request.headers(), name));
    match value {
        Some(value) => gateway.session_cookies.verify(value).is_ok(),
        None => known.proxy_user.is_some(),
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Refuses a request without a credential.
pub(super) fn no_credential(gateway: &Gateway) -> Problem {
    gateway.telemetry.authenticated("missing");
    Problem::no_credential()
}

/// Refuses a token.
pub(super) fn refused(gateway: &Gateway, error: TokenError) -> Problem {
    let outcome = match error {
        TokenError::Expired => "expired",
        TokenError::NotYetValid => "early",
        TokenError::Invalid => "invalid",
    };
    gateway.telemetry.authenticated(outcome);
    error.into()
}

/// The session and the user that a trusted proxy names.
async fn of_proxy(gateway: &Gateway, username: &Arc<str>) -> Result<(Uuid, Uuid)> {
    let may_be_admin = gateway.config.auth.proxy_administrators;
    let highest = if may_be_admin { Role::Admin } else { Role::Operator };
    let (outcome, problem) = match gateway.login_sessions.of_proxy(username, highest).await {
        Ok(Some(found)) => return Ok(found),
        Ok(None) => ("invalid", Problem::invalid_token("no user has the name that the proxy sent")),
        Err(error @ SessionError::Ended(_)) => ("session_ended", error.into()),
        Err(error) => ("failed", error.into()),
    };
    gateway.telemetry.authenticated(outcome);
    Err(problem)
}

async fn validate(
    gateway: &Gateway,
    session: Uuid,
    user: Uuid,
) -> std::result::Result<Principal, SessionError> {
    let began = Instant::now();
    let principal = gateway.login_sessions.validate(session, user).await;
    gateway.telemetry.login_session_validated(began.elapsed());
    principal
}
