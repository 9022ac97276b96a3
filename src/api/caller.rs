//! Authenticates callers. The extractors here are the first argument of every operation that is not public.
//!
//! They run before the framework reads any other argument. So an anonymous caller gets 401, and cannot learn from a
//! 400 or a 404 which resources exist. They check the credential (401), then the quota (429), then the role (403).
//! `credential.rs` lists the credentials.

use std::{marker::PhantomData, sync::Arc};

use entity::{login_session::Method, user::Role};
use poem::{Request, RequestBody, http};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    registry::{MetaSecurityScheme, Registry},
};

use super::{
    credential::{Authenticated, Credential, STREAM_TOKEN, no_credential},
    middleware::RequestInfo,
    presented_token::PresentedToken,
    problem::{Kind, Problem, Result},
    streams::family_of_path,
};
use crate::{
    auth::login_session::{Families, Principal},
    auth::stream_claims::StreamScope,
    event::Topic,
    family,
    gateway::Gateway,
    limit::{ClientConnection, Key, Quota},
};

/// The callers that an operation accepts.
pub(super) trait MinimumRole: Send + Sync + 'static {
    /// The lowest role.
    const ROLE: Role;
    /// The name of the role.
    const NAME: &'static str;
    /// Whether an API key may call the operation.
    const API_KEYS: bool = true;
}

/// Every user.
pub(super) struct Viewer;
/// Agents: they also claim work and report on it.
pub(super) struct Agent;
/// Operators: they also change resources.
pub(super) struct Operator;
/// Administrators, to see what happens on the gateway.
pub(super) struct Admin;
/// Every user who has logged in, to manage what belongs to the user: API keys and grants. An API key has not logged in,
/// so a leaked one cannot create others.
pub(super) struct Person;
/// Administrators who have logged in, to manage users.
pub(super) struct AdminPerson;

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

impl MinimumRole for Person {
    const ROLE: Role = Role::Viewer;
    const NAME: &'static str = "viewer";
    const API_KEYS: bool = false;
}

impl MinimumRole for AdminPerson {
    const ROLE: Role = Role::Admin;
    const NAME: &'static str = "admin";
    const API_KEYS: bool = false;
}

/// An authenticated caller with the role `M` or a higher one.
pub(super) struct Caller<M> {
    pub(super) principal: Principal,
    /// Whether the credential is the session cookie.
    pub(super) by_cookie: bool,
    minimum: PhantomData<M>,
}

/// An authenticated caller of a stream, with the role `M` or a higher one. The credential can also be a stream token.
pub(super) struct StreamCaller<M> {
    pub(super) principal: Principal,
    /// The stream token. Absent with another credential.
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
        let Authenticated { principal, by_cookie, .. } =
            credential.authenticate(gateway, request, false).await?;
        identify(request, &principal);
        admit::<M>(gateway, request, &principal, Quota::Requests)?;
        Ok(Self { principal, by_cookie, minimum: PhantomData })
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
        let is_head =
            request.data::<RequestInfo>().is_some_and(|info| info.method == http::Method::HEAD);
        let Authenticated { principal, stream_token, .. } =
            credential.authenticate(gateway, request, !is_head).await?;
        identify(request, &principal);
        let quota = if is_head { Quota::Requests } else { Quota::StreamOpens };
        admit::<M>(gateway, request, &principal, quota)?;
        Ok(Self { principal, stream_token, minimum: PhantomData })
    }
}

fn register_bearer(registry: &mut Registry) {
    registry.create_security_scheme(
        "bearer",
        MetaSecurityScheme {
            ty: "http",
            description: Some(
                "An access token (RFC 9068) from `POST /v1/auth/login`, or an API key from `POST /v1/api-keys`.",
            ),
            name: None,
            key_in: None,
            scheme: Some("bearer"),
            bearer_format: None,
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

/// Checks the quota, then the role and what the API key is for.
fn admit<M: MinimumRole>(
    gateway: &Gateway,
    request: &Request,
    principal: &Principal,
    quota: Quota,
) -> Result<()> {
    count(gateway, quota, &Key::User(principal.user_id))?;
    if !M::API_KEYS && principal.method == Method::ApiKey {
        return Err(Problem::new(Kind::Forbidden, "an API key cannot call this operation: log in"));
    }
    if let Some(family) = family_of_path(request.uri().path()) {
        family::check_family(principal, family)?;
    }
    if principal.role < M::ROLE {
        return Err(Problem::insufficient_role(M::NAME));
    }
    // The operations of administrators show data of all families.
    if M::ROLE == Role::Admin && principal.families != Families::ALL {
        return Err(Problem::new(Kind::Forbidden, "this API key is for some families only"));
    }
    Ok(())
}

/// Counts one call, or refuses it.
pub(super) fn count(gateway: &Gateway, quota: Quota, key: &Key) -> Result<()> {
    let counted = gateway.limits.check(quota, key);
    counted.map_err(|refused| Problem::refused(&refused, &gateway.telemetry))
}
