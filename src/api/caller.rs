//! Who calls: the one extractor that authenticates, first argument of every operation that is not
//! public.
//!
//! It runs before any other argument is looked at, so an anonymous caller gets 401 and never learns
//! what a 400 or a 404 would tell. The order is: who (401), how often (429), with which role (403).
//! Credentials are taken from the `Authorization` header, else, on streams only, from the stream
//! token in the query, because a browser's `EventSource` cannot send a header.

use std::{marker::PhantomData, sync::Arc, time::Instant};

use entity::user::Role;
use poem::{Request, RequestBody, http::header};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    registry::{MetaSecurityScheme, Registry},
};
use uuid::Uuid;

use super::problem::{Kind, Problem, Result};
use crate::{
    auth::login_session::{Principal, SessionError},
    auth::token::{Opens, TokenError},
    event::Topic,
    gateway::Gateway,
    limit::{Key, Origin, Quota},
};

/// The query parameter that carries a stream token.
pub(super) const STREAM_TOKEN: &str = "stream_token";

/// The lowest role that may call.
pub(super) trait Minimum: Send + Sync + 'static {
    const ROLE: Role;
    const NAME: &'static str;
}

/// Any user.
pub(super) struct Viewer;
/// Who does the work.
pub(super) struct Agent;
/// Who changes what is to be done.
pub(super) struct Operator;
/// Who looks after users.
pub(super) struct Admin;

impl Minimum for Viewer {
    const ROLE: Role = Role::Viewer;
    const NAME: &'static str = "viewer";
}

impl Minimum for Agent {
    const ROLE: Role = Role::Agent;
    const NAME: &'static str = "agent";
}

impl Minimum for Operator {
    const ROLE: Role = Role::Operator;
    const NAME: &'static str = "operator";
}

impl Minimum for Admin {
    const ROLE: Role = Role::Admin;
    const NAME: &'static str = "admin";
}

/// An authenticated caller of at least this role.
pub(super) struct Caller<M> {
    pub(super) principal: Principal,
    minimum: PhantomData<M>,
}

/// An authenticated caller of a stream, by access token or by stream token.
pub(super) struct StreamCaller<M> {
    pub(super) principal: Principal,
    /// With a stream token: what it opens.
    bound: Option<Opens>,
    minimum: PhantomData<M>,
}

impl<M> StreamCaller<M> {
    /// 403 unless the token opens this very stream.
    pub(super) fn may_open(&self, topic: &Topic) -> Result<()> {
        match &self.bound {
            None => Ok(()),
            Some(Opens::One(bound)) if bound == topic.as_str() => Ok(()),
            Some(_) => Err(another_stream()),
        }
    }

    /// 403 unless the token opens the stream of these topics together: it was made for all of them,
    /// or for the only one.
    pub(super) fn may_open_all(&self, topics: &[Topic]) -> Result<()> {
        let bound = match &self.bound {
            None => return Ok(()),
            Some(Opens::One(bound)) => std::slice::from_ref(bound),
            Some(Opens::Many(bound)) => bound,
        };
        let opens = |topic: &Topic| bound.iter().any(|bound| bound == topic.as_str());
        if topics.iter().all(opens) { Ok(()) } else { Err(another_stream()) }
    }
}

fn another_stream() -> Problem {
    Problem::new(Kind::Forbidden, "this stream token opens another stream")
}

impl<'a, M: Minimum> ApiExtractor<'a> for Caller<M> {
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
        let credential = Credential::of(gateway, request, false)?;
        let (principal, _) = credential.authenticate(gateway).await?;
        identify(request, &principal);
        admit::<M>(gateway, &principal, Quota::Requests)?;
        Ok(Self { principal, minimum: PhantomData })
    }
}

impl<'a, M: Minimum> ApiExtractor<'a> for StreamCaller<M> {
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
                    "A token for one stream, of one topic or many, from `POST /v1/stream-tokens`: \
                     for `EventSource`, which cannot send a header. Accepted on streams only.",
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
        let credential = Credential::of(gateway, request, true)?;
        let (principal, bound) = credential.authenticate(gateway).await?;
        identify(request, &principal);
        admit::<M>(gateway, &principal, Quota::StreamOpens)?;
        Ok(Self { principal, bound, minimum: PhantomData })
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

/// Tells the server who calls: whose answer it is, and that the connection is not just anybody's.
fn identify(request: &Request, principal: &Principal) {
    if let Some(origin) = request.extensions().get::<Arc<Origin>>() {
        origin.identify(principal.user_id);
    }
}

/// How often, then with which role.
fn admit<M: Minimum>(gateway: &Gateway, principal: &Principal, quota: Quota) -> Result<()> {
    let key = Key::User(principal.user_id);
    let counted = gateway.limits.check(quota, &key);
    counted.map_err(|refused| Problem::refused(&refused, &gateway.telemetry))?;
    if principal.role < M::ROLE {
        return Err(Problem::insufficient_role(M::NAME));
    }
    Ok(())
}

/// What the caller shows.
enum Credential {
    Access(String),
    Stream(String),
}

impl Credential {
    /// Takes the credential from its place. An access token in the query is refused even beside a
    /// good header: it is in somebody's log by now (RFC 9700, section 4.3.2).
    fn of(gateway: &Gateway, request: &Request, streams: bool) -> Result<Self> {
        let query: Vec<(String, String)> = request.params().unwrap_or_default();
        let in_query = |(name, value): &(String, String)| {
            name == "access_token" || (value.starts_with("eyJ") && gateway.tokens.is_access(value))
        };
        if query.iter().any(in_query) {
            gateway.telemetry.authenticated("in_query");
            return Err(Problem::invalid_token(
                "an access token must not travel in a URL: send it in the Authorization header, or \
                 mint a stream token",
            ));
        }
        if let Some(value) = request.headers().get(header::AUTHORIZATION) {
            let bearer = value.to_str().ok().and_then(|value| {
                let (scheme, token) = value.split_once(' ')?;
                scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
            });
            return bearer.map(Self::Access).ok_or_else(|| {
                gateway.telemetry.authenticated("invalid");
                Problem::invalid_token("the Authorization header must be a bearer token")
            });
        }
        let stream_token = query.into_iter().find(|(name, _)| name == STREAM_TOKEN);
        match stream_token {
            Some((_, token)) if streams => Ok(Self::Stream(token)),
            Some(_) => {
                gateway.telemetry.authenticated("invalid");
                Err(Problem::invalid_token("a stream token opens its stream and nothing else"))
            }
            None => {
                gateway.telemetry.authenticated("missing");
                Err(Problem::no_credential())
            }
        }
    }

    /// Who stands behind it and, with a stream token, for which stream.
    async fn authenticate(self, gateway: &Gateway) -> Result<(Principal, Option<Opens>)> {
        let began = Instant::now();
        let caller = self.identify(gateway).await;
        gateway.telemetry.identified(began.elapsed());
        caller
    }

    async fn identify(self, gateway: &Gateway) -> Result<(Principal, Option<Opens>)> {
        let claims = match self {
            Self::Access(token) => {
                gateway.tokens.verify_access(&token).map(|claims| (claims.sid, claims.sub, None))
            }
            Self::Stream(token) => gateway
                .tokens
                .verify_stream(&token)
                .map(|claims| (claims.sid, claims.sub, Some(claims.opens))),
        };
        let (session, user, topic) = claims.map_err(|error| match error {
            TokenError::Expired => {
                gateway.telemetry.authenticated("expired");
                Problem::invalid_token("the token has expired")
            }
            TokenError::Early => {
                gateway.telemetry.authenticated("early");
                Problem::invalid_token("the token is not valid yet")
            }
            TokenError::Invalid => {
                gateway.telemetry.authenticated("invalid");
                Problem::invalid_token("the token is not valid")
            }
        })?;
        let principal = validate(gateway, session, user).await;
        gateway.telemetry.authenticated(match &principal {
            Ok(_) => "ok",
            Err(SessionError::Database(_)) => "failed",
            Err(_) => "session_ended",
        });
        Ok((principal?, topic))
    }
}

async fn validate(
    gateway: &Gateway,
    session: Uuid,
    user: Uuid,
) -> std::result::Result<Principal, SessionError> {
    let began = Instant::now();
    let principal = gateway.sessions.validate(session, user).await;
    gateway.telemetry.session_validated(began.elapsed());
    principal
}
