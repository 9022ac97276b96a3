//! Authenticates callers. The extractors here are the first argument of every operation that is not public.
//!
//! They run before the framework reads any other argument. So an anonymous caller gets 401, and cannot learn from a
//! 400 or a 404 which resources exist. They check the credential (401), then the quota (429), then the role (403). The
//! credential is in the `Authorization` header. On streams it can be a stream token in the query, because a browser's
//! `EventSource` cannot send a header.

use std::{marker::PhantomData, sync::Arc, time::Instant};

use entity::user::Role;
use poem::{
    Request, RequestBody,
    http::{Method, header},
};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    registry::{MetaSecurityScheme, Registry},
};
use uuid::Uuid;

use super::{
    middleware::RequestInfo,
    presented_token::{self, PresentedToken},
    problem::{Kind, Problem, Result},
};
use crate::{
    auth::login_session::{Principal, SessionError},
    auth::stream_claims::StreamScope,
    auth::token::TokenError,
    event::Topic,
    gateway::Gateway,
    limit::{ClientConnection, Key, Quota},
};

/// The query parameter that carries a stream token.
pub(super) const STREAM_TOKEN: &str = "stream_token";

/// The lowest role that may call an operation.
pub(super) trait MinimumRole: Send + Sync + 'static {
    const ROLE: Role;
    const NAME: &'static str;
}

/// Every user.
pub(super) struct Viewer;
/// Agents: they also claim work and report on it.
pub(super) struct Agent;
/// Operators: they also change resources.
pub(super) struct Operator;
/// Administrators: they also manage users.
pub(super) struct Admin;

impl MinimumRole for Viewer {
    const ROLE: Role = Role::Viewer;
    const NAME: &'static str = "viewer";
}

impl MinimumRole for Agent {
    const ROLE: Role = Role::Agent;
    const NAME: &'static str = "agent";
}

impl MinimumRole for Operator {
    const ROLE: Role = Role::Operator;
    const NAME: &'static str = "operator";
}

impl MinimumRole for Admin {
    const ROLE: Role = Role::Admin;
    const NAME: &'static str = "admin";
}

/// An authenticated caller with the role `M` or a higher one.
pub(super) struct Caller<M> {
    pub(super) principal: Principal,
    minimum: PhantomData<M>,
}

/// An authenticated caller of a stream, with the role `M` or a higher one. The credential is an access token or a
/// stream token.
pub(super) struct StreamCaller<M> {
    pub(super) principal: Principal,
    /// The stream token. Absent with an access token.
    pub(super) stream_token: Option<PresentedToken>,
    minimum: PhantomData<M>,
}

impl<M> StreamCaller<M> {
    /// Refuses a stream token that does not open the stream of this topic.
    pub(super) fn may_open(&self, topic: &Topic) -> Result<()> {
        match self.scope() {
            None => Ok(()),
            Some(StreamScope::Topic(bound)) if bound == topic.as_str() => Ok(()),
            Some(_) => Err(another_stream()),
        }
    }

    /// Refuses a stream token that was not minted for all of these topics. A token for the stream of one topic is
    /// accepted if this topic is the only one.
    pub(super) fn may_open_all(&self, topics: &[Topic]) -> Result<()> {
        let bound = match self.scope() {
            None => return Ok(()),
            Some(StreamScope::Topic(bound)) => std::slice::from_ref(bound),
            Some(StreamScope::Topics(bound)) => bound,
        };
        let opens = |topic: &Topic| bound.iter().any(|bound| bound == topic.as_str());
        if topics.iter().all(opens) { Ok(()) } else { Err(another_stream()) }
    }

    fn scope(&self) -> Option<&StreamScope> {
        self.stream_token.as_ref().map(|token| &token.claims.scope)
    }
}

fn another_stream() -> Problem {
    Problem::new(Kind::Forbidden, "this stream token was minted for another stream")
}

impl<'a, M: MinimumRole> ApiExtractor<'a> for Caller<M> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];
    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        register_bearer(registry);
    }

    fn security_schemes() -> Vec<&'static str> {
        vec!["bearer"]
    }

    async fn from_request(
        request: &'a Request,
        _body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let gateway = gateway(request);
        let credential = Credential::from_request(gateway, request, false)?;
        let credential = credential.ok_or_else(|| no_credential(gateway))?;
        let (principal, _) = credential.authenticate(gateway, false).await?;
        identify(request, &principal);
        admit::<M>(gateway, &principal, Quota::Requests)?;
        Ok(Self { principal, minimum: PhantomData })
    }
}

impl<'a, M: MinimumRole> ApiExtractor<'a> for StreamCaller<M> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];
    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        register_bearer(registry);
        registry.create_security_scheme(
            "stream_token",
            MetaSecurityScheme {
                ty: "apiKey",
                description: Some(
                    "A token from `POST /v1/stream-tokens` that opens the streams that it was minted for. \
                     It is for `EventSource`, which cannot send a header. Only operations that open a \
                     stream accept it.",
                ),
                name: Some(STREAM_TOKEN),
                key_in: Some("query"),
                scheme: None,
                bearer_format: None,
                flows: None,
                openid_connect_url: None,
            },
        );
    }

    fn security_schemes() -> Vec<&'static str> {
        vec!["bearer", "stream_token"]
    }

    async fn from_request(
        request: &'a Request,
        _body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let gateway = gateway(request);
        let credential = Credential::from_request(gateway, request, true)?;
        let credential = credential.ok_or_else(|| no_credential(gateway))?;
        // HEAD opens no stream, so an expired token has nothing to resume.
        let is_head = request.data::<RequestInfo>().is_some_and(|info| info.method == Method::HEAD);
        let (principal, stream_token) = credential.authenticate(gateway, !is_head).await?;
        identify(request, &principal);
        let quota = if is_head { Quota::Requests } else { Quota::StreamOpens };
        admit::<M>(gateway, &principal, quota)?;
        Ok(Self { principal, stream_token, minimum: PhantomData })
    }
}

fn register_bearer(registry: &mut Registry) {
    registry.create_security_scheme(
        "bearer",
        MetaSecurityScheme {
            ty: "http",
            description: Some("An access token (RFC 9068) from `POST /v1/auth/login`."),
            name: None,
            key_in: None,
            scheme: Some("bearer"),
            bearer_format: Some("JWT"),
            flows: None,
            openid_connect_url: None,
        },
    );
}

pub(super) fn gateway(request: &Request) -> &Arc<Gateway> {
    request.data().expect("the endpoint carries the gateway")
}

/// Tells the log and the server which user gets the response, and that the connection is authenticated.
fn identify(request: &Request, principal: &Principal) {
    tracing::Span::current().record("user", tracing::field::display(principal.user_id));
    if let Some(client_connection) = request.extensions().get::<Arc<ClientConnection>>() {
        client_connection.set_user(principal.user_id);
    }
}

/// Refuses a request without a credential.
fn no_credential(gateway: &Gateway) -> Problem {
    gateway.telemetry.authenticated("missing");
    Problem::no_credential()
}

/// Refuses a token.
pub(super) fn refused(gateway: &Gateway, error: TokenError) -> Problem {
    let (outcome, detail) = match error {
        TokenError::Expired => ("expired", "the token has expired"),
        TokenError::NotYetValid => ("early", "the token is not valid yet"),
        TokenError::Invalid => ("invalid", "the token is not valid"),
    };
    gateway.telemetry.authenticated(outcome);
    Problem::invalid_token(detail)
}

/// Checks the quota, then the role.
fn admit<M: MinimumRole>(gateway: &Gateway, principal: &Principal, quota: Quota) -> Result<()> {
    count(gateway, quota, &Key::User(principal.user_id))?;
    if principal.role < M::ROLE {
        return Err(Problem::insufficient_role(M::NAME));
    }
    Ok(())
}

/// Counts one call, or refuses it.
pub(super) fn count(gateway: &Gateway, quota: Quota, key: &Key) -> Result<()> {
    let counted = gateway.limits.check(quota, key);
    counted.map_err(|refused| Problem::refused(&refused, &gateway.telemetry))
}

/// The credential of a request.
pub(super) enum Credential {
    Access(String),
    Stream(String),
}

impl Credential {
    /// Reads the credential. An access token in the query is refused even if the header is valid, because a proxy may
    /// have logged the token (RFC 9700, section 4.3.2).
    pub(super) fn from_request(
        gateway: &Gateway,
        request: &Request,
        streams: bool,
    ) -> Result<Option<Self>> {
        let query: Vec<(String, String)> = request.params().unwrap_or_default();
        let in_query = |(name, value): &(String, String)| {
            name == "access_token"
                || (value.starts_with("eyJ") && gateway.tokens.is_own_access_token(value))
        };
        if query.iter().any(in_query) {
            gateway.telemetry.authenticated("in_query");
            return Err(Problem::invalid_token(
                "an access token must not be in a URL: send it in the Authorization header, or \
                 mint a stream token",
            ));
        }
        if let Some(value) = request.headers().get(header::AUTHORIZATION) {
            let bearer = value.to_str().ok().and_then(|value| {
                let (scheme, token) = value.split_once(' ')?;
                scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
            });
            return bearer.map(|token| Some(Self::Access(token))).ok_or_else(|| {
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
            None => Ok(None),
        }
    }

    /// The principal and the stream token, if there is one. With `may_resume`, the token may be one that has expired and
    /// can resume a stream.
    async fn authenticate(
        self,
        gateway: &Gateway,
        may_resume: bool,
    ) -> Result<(Principal, Option<PresentedToken>)> {
        let began = Instant::now();
        let caller = self.identify(gateway, may_resume).await;
        gateway.telemetry.caller_identified(began.elapsed());
        caller
    }

    async fn identify(
        self,
        gateway: &Gateway,
        may_resume: bool,
    ) -> Result<(Principal, Option<PresentedToken>)> {
        let claims = match self {
            Self::Access(token) => {
                gateway.tokens.verify_access(&token).map(|claims| (claims.sid, claims.sub, None))
            }
            Self::Stream(token) => presented_token::verify(gateway, &token, may_resume)
                .await?
                .map(|token| (token.claims.sid, token.claims.sub, Some(token))),
        };
        let (session, user, stream_token) = claims.map_err(|error| refused(gateway, error))?;
        let principal = validate(gateway, session, user).await;
        gateway.telemetry.authenticated(match &principal {
            Ok(_) => "ok",
            Err(SessionError::Database(_)) => "failed",
            Err(_) => "session_ended",
        });
        Ok((principal?, stream_token))
    }
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
