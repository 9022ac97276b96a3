//! The caller: who it is, what it may do, and how much of its limits it uses.

use std::sync::Arc;

use entity::login_session::Method;
use poem::web::Data;
use poem_openapi::{Enum, Object, OpenApi, types::Example};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    caller::{Caller, Viewer},
    json::Json,
    oauth::OauthGrant,
    permissions::{FamilyPermissions, permissions},
    problem::ReadResult,
    tag::Tag,
    users::UserRole,
};
use crate::{
    family::wire::{example_id, example_time},
    gateway::Gateway,
    limit::Usage,
};

/// The credential of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case")]
enum AuthenticatedBy {
    /// An access token from a login.
    AccessToken,
    /// The session cookie.
    Cookie,
    /// An API key.
    ApiKey,
    /// An access token of an external issuer.
    IssuerToken,
    /// The header of a trusted proxy.
    Proxy,
}

/// A limit of a user.
#[derive(Object)]
#[oai(example, skip_serializing_if_is_none)]
struct UserLimit {
    /// Name of the limit, as in the header `RateLimit-Policy`: `streams`, `tunnels`, `requests` or `stream-opens`.
    name: String,
    /// Maximum number: of open streams or connected tunnel clients, or of calls in `window_seconds`.
    limit: u32,
    /// Number that is used up now. The number of a rate falls again with time.
    used: u32,
    /// Length of the time that a rate is for, in seconds. Absent for streams and
    /// tunnels.
    window_seconds: Option<u32>,
}

impl From<Usage> for UserLimit {
    fn from(usage: Usage) -> Self {
        Self {
            name: usage.name.to_owned(),
            limit: usage.limit,
            used: usage.used,
            window_seconds: usage.is_rate.then_some(60),
        }
    }
}

impl Example for UserLimit {
    fn example() -> Self {
        Self { name: "requests".to_owned(), limit: 600, used: 12, window_seconds: Some(60) }
    }
}

/// The caller.
#[derive(Object)]
#[oai(example, skip_serializing_if_is_none)]
struct Me {
    /// User id.
    id: Uuid,
    /// User name.
    username: String,
    /// External issuer that authenticates the user. Absent for a user with a password.
    issuer: Option<String>,
    /// Name of the user at the issuer, for people. Not unique. Absent if the issuer has not sent one.
    display_name: Option<String>,
    /// Role in this session: the role of the user, or a lower one that the API key, the issuer or the proxy allows.
    role: UserRole,
    /// Credential of this request: `access_token`, `cookie`, `api_key`, `issuer_token` or `proxy`.
    authenticated_by: AuthenticatedBy,
    /// Id of the login session. For an API key, the id of the key.
    session_id: Uuid,
    /// Time at which the login session ends, UTC. A refresh extends a session, and each request with the session cookie
    /// or through a proxy does.
    session_expires_at: OffsetDateTime,
    /// Time at which the login session ends however often it is extended, UTC.
    session_ends_at: OffsetDateTime,
    /// Rights of the caller in each family.
    permissions: Vec<FamilyPermissions>,
    /// Limits of the user on this gateway, and how much of each is used.
    limits: Vec<UserLimit>,
    /// Accounts that the user has linked at OAuth providers, and when their access tokens end.
    oauth_grants: Vec<OauthGrant>,
}

impl Example for Me {
    fn example() -> Self {
        Self {
            id: example_id(),
            username: "ada".to_owned(),
            display_name: None,
            issuer: None,
            role: UserRole::Operator,
            authenticated_by: AuthenticatedBy::AccessToken,
            session_id: example_id(),
            session_expires_at: example_time(),
            session_ends_at: example_time(),
            permissions: vec![FamilyPermissions::example()],
            limits: vec![UserLimit::example()],
            oauth_grants: vec![OauthGrant::example()],
        }
    }
}

/// The operations.
pub(super) struct MeApi;

#[OpenApi(tag = "Tag::Auth")]
impl MeApi {
    /// Get the caller
    ///
    /// Returns the user, the login session and the credential of this request. Also returns what the caller may do, the
    /// limits in force, and the linked accounts at OAuth providers. Requires the role viewer.
    #[oai(path = "/v1/auth/me", method = "get", operation_id = "caller_get")]
    async fn me(
        &self,
        caller: Caller<Viewer>,
        gateway: Data<&Arc<Gateway>>,
    ) -> ReadResult<Json<Me>> {
        let permissions = permissions(&caller.principal);
        let limits = gateway.limits.usage(caller.principal.user_id);
        let principal = caller.principal;
        // Without issuers, the answer needs no look-up.
        let user = match gateway.config.auth.issuers[..] {
            [] => None,
            _ => Some(gateway.users.find(principal.user_id).await?),
        };
        let (issuer, display_name) =
            user.map_or((None, None), |user| (user.issuer, user.display_name));
        let grants = if gateway.oauth.is_enabled() {
            gateway.oauth.grants(principal.user_id).await?
        } else {
            Vec::new()
        };
        let authenticated_by = match principal.method {
            Method::Password | Method::Issuer if caller.by_cookie => AuthenticatedBy::Cookie,
            Method::Password => AuthenticatedBy::AccessToken,
            Method::ApiKey => AuthenticatedBy::ApiKey,
            Method::Issuer => AuthenticatedBy::IssuerToken,
            Method::Proxy => AuthenticatedBy::Proxy,
        };
        Ok(Json(Me {
            id: principal.user_id,
            username: principal.username,
            issuer,
            display_name,
            role: principal.role.into(),
            authenticated_by,
            session_id: principal.session_id,
            session_expires_at: principal.session_expires_at.datetime(),
            session_ends_at: principal.session_ends_at.datetime(),
            permissions,
            limits: limits.into_iter().map(Into::into).collect(),
            oauth_grants: grants.into_iter().map(Into::into).collect(),
        }))
    }
}
