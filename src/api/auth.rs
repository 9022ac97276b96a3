//! Login, refresh, logout, and the keys that verify access tokens.

use std::sync::Arc;

use entity::login_session::Method;
use poem::web::Data;
use poem_openapi::{ApiResponse, Object, OpenApi, types::Example};
use serde_json::json;

use super::{
    audit_events::record,
    caller::{Caller, Person, count},
    credential::check_origin,
    json::Json,
    middleware::RequestInfo,
    problem::{Kind, MemoryResult, Problem, ReadResult, Result, WriteResult},
    session_cookie,
    tag::Tag,
    visitor::Visitor,
};
use crate::{
    audit::{AuditEvent, AuditKind},
    auth::login_session::{Principal, RefreshError, SessionError, SessionGrant},
    auth::password::{self, PasswordError},
    family::wire::Text,
    gateway::Gateway,
    limit::{Key, Quota},
};

/// Credentials of a user.
#[derive(Object)]
#[oai(example, deny_unknown_fields, skip_serializing_if_is_none)]
struct Login {
    /// User name, at most 64 characters.
    #[oai(validator(max_length = 64))]
    username: Text,
    /// Password, at most 1,024 bytes in UTF-8.
    #[oai(validator(max_length = 1024))]
    password: Text,
    /// Whether the response sets the session cookie. The default is false. Then the request needs the header `Origin`
    /// with an allowed origin, and HTTPS unless it comes from the same machine.
    cookie: Option<bool>,
}

impl Example for Login {
    fn example() -> Self {
        Self {
            username: "ada".into(),
            password: "correct horse battery staple".into(),
            cookie: Some(false),
        }
    }
}

/// The response to a login.
#[derive(ApiResponse)]
enum LoggedIn {
    /// The tokens of the new login session.
    #[oai(status = 200)]
    Tokens(
        Json<TokenPair>,
        /// The session cookie `__Host-streamgate` (`streamgate` on plain HTTP from the same machine). Present with
        /// `cookie: true`.
        #[oai(header = "Set-Cookie")]
        Option<String>,
    ),
}

/// The response to a logout.
#[derive(ApiResponse)]
enum LoggedOut {
    /// The login session has ended. The response has no body.
    #[oai(status = 204)]
    NoContent(
        /// Removes the session cookie. Present if the cookie authenticated the request.
        #[oai(header = "Set-Cookie")]
        Option<String>,
    ),
}

/// The response with a session cookie.
#[derive(ApiResponse)]
enum CookieSet {
    /// The cookie is set. The response has no body.
    #[oai(status = 204)]
    NoContent(
        /// The session cookie `__Host-streamgate` (`streamgate` on plain HTTP from the same machine).
        #[oai(header = "Set-Cookie")]
        String,
    ),
}

/// The refresh token to exchange.
#[derive(Object)]
#[oai(example, deny_unknown_fields)]
struct Refresh {
    /// The newest refresh token of the login session.
    #[oai(validator(max_length = 128))]
    refresh_token: Text,
}

impl Example for Refresh {
    fn example() -> Self {
        Self { refresh_token: "q0Vq6cYw2m4xO2m1o9V1h0nYx3J8m0vQ4n3m1J2k3L4".into() }
    }
}

/// An access token and a refresh token (RFC 6749, section 5.1).
#[derive(Object)]
#[oai(example)]
struct TokenPair {
    /// Access token, to send in the `Authorization` header.
    access_token: String,
    /// Always `Bearer`.
    token_type: String,
    /// Lifetime of the access token, in seconds.
    expires_in: u64,
    /// Refresh token, to exchange for the next pair. Store the token before you use the access token.
    refresh_token: String,
    /// Lifetime of the login session without a refresh, in seconds.
    refresh_expires_in: u64,
}

impl Example for TokenPair {
    fn example() -> Self {
        Self {
            access_token: "eyJ0eXAiOiJhdCtqd3QiLCJhbGciOiJFZERTQSJ9.e30.c2lnbmF0dXJl".to_owned(),
            token_type: "Bearer".to_owned(),
            expires_in: 900,
            refresh_token: Refresh::example().refresh_token.0,
            refresh_expires_in: 604_800,
        }
    }
}

/// A public key (RFC 8037, section 2).
#[derive(Object)]
#[oai(example)]
struct Jwk {
    /// Always `OKP`.
    kty: String,
    /// Always `Ed25519`.
    crv: String,
    /// Public key, base64url.
    x: String,
    /// Key id: the thumbprint of the key (RFC 7638).
    kid: String,
    /// Always `EdDSA`.
    alg: String,
    /// Always `sig`.
    #[oai(rename = "use")]
    purpose: String,
}

impl Example for Jwk {
    fn example() -> Self {
        Self {
            kty: "OKP".to_owned(),
            crv: "Ed25519".to_owned(),
            x: "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo".to_owned(),
            kid: "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k".to_owned(),
            alg: "EdDSA".to_owned(),
            purpose: "sig".to_owned(),
        }
    }
}

/// Public keys (RFC 7517, section 5).
#[derive(Object)]
#[oai(example)]
struct JwkSet {
    /// Keys that verify access tokens.
    keys: Vec<Jwk>,
}

impl Example for JwkSet {
    fn example() -> Self {
        Self { keys: vec![Jwk::example()] }
    }
}

/// The operations.
pub(super) struct AuthApi;

#[OpenApi(tag = "Tag::Auth")]
impl AuthApi {
    /// Log in
    ///
    /// Starts a login session and returns its tokens. Public.
    ///
    /// Logins are limited per user name and per client address. Behind a proxy in `server.trusted_proxies`, the proxy
    /// reports the client address. Otherwise it is the address of the connection. A wrong name and a wrong password
    /// get the same response after the same time.
    ///
    /// With `cookie: true` the response also sets the session cookie, for pages of the same site. The response is 403 if
    /// the header `Origin` is missing or names an origin that is not allowed. Every request with the cookie extends the login
    /// session, up to `tokens.session_max_seconds` after the login. An open stream does not.
    #[oai(path = "/v1/auth/login", method = "post", operation_id = "auth_login")]
    async fn login(
        &self,
        gateway: Data<&Arc<Gateway>>,
        request: Data<&RequestInfo>,
        body: Json<Login>,
    ) -> WriteResult<LoggedIn> {
        let Login { username: Text(username), password: Text(password), cookie } = body.0;
        let cookie_name = match cookie {
            Some(true) => Some(cookie_name(&gateway, &request)?),
            _ => None,
        };
        if password.len() > password::MAX_BYTES {
            // No user has such a password, so the response does not tell whether the user exists.
            return Err(PasswordError::TooLong.into());
        }
        let ip = request.address;
        count(&gateway, Quota::LoginsPerAddress, &Key::address(ip))?;
        count(&gateway, Quota::LoginsPerUser, &Key::name_at(username.clone(), ip))?;
        count(&gateway, Quota::LoginsPerName, &Key::Name(username.clone()))?;
        let Some(user) = gateway.users.authenticate(&username, password).await? else {
            gateway.telemetry.authenticated("login_refused");
            let user = gateway.users.find_by_name(&username).await.ok().map(|user| user.id);
            record(&gateway, &request, None, (AuditKind::LoginFailed, user, json!({}))).await;
            return Err(Problem::invalid_token("the user name or the password is wrong").into());
        };
        let session = gateway.login_sessions.create(user).await?;
        gateway.telemetry.authenticated("login");
        let user = Some(session.principal.user_id);
        let data = json!({ "cookie": cookie_name.is_some() });
        let event = (AuditKind::LoginSucceeded, user, data);
        record(&gateway, &request, Some(&session.principal), event).await;
        let cookie = cookie_name.map(|name| {
            let Principal { user_id, session_id, session_ends_at, .. } = session.principal;
            let value = gateway.session_cookies.sign(user_id, session_id, session_ends_at);
            session_cookie::set(name, &value, session_ends_at)
        });
        Ok(LoggedIn::Tokens(Json(pair(&gateway, session)), cookie))
    }

    /// Refresh a login session
    ///
    /// Exchanges a refresh token for its successor and a new access token, and extends the login session. A refresh
    /// counts as a login from the client address, and the refreshes of each session are limited too. Public.
    ///
    /// If a refresh token is used again within 10 seconds of its first use, the response has the same successor. So
    /// browser tabs can refresh at the same time, and a client can repeat a request whose response was lost.
    ///
    /// If the successor was already used, a second use within the 10 seconds gets 401. The problem has the type
    /// `https://streamgate.dev/problems/refresh-superseded` and `"code": "refresh_superseded"`. Nothing is
    /// revoked. Use the newest token that another tab has stored.
    ///
    /// After the 10 seconds, every further use of the token ends the login session and its streams, even if the
    /// successor was never used. Two parties may have the token then, and one of them is not the user (RFC 9700,
    /// section 4.14.2).
    #[oai(path = "/v1/auth/refresh", method = "post", operation_id = "auth_refresh")]
    async fn refresh(
        &self,
        gateway: Data<&Arc<Gateway>>,
        request: Data<&RequestInfo>,
        body: Json<Refresh>,
    ) -> WriteResult<Json<TokenPair>> {
        count(&gateway, Quota::LoginsPerAddress, &Key::address(request.address))?;
        let token = &body.refresh_token.0;
        if let Some(session) = gateway.login_sessions.session_of(token).await? {
            count(&gateway, Quota::RefreshesPerSession, &Key::Session(session))?;
        }
        let opened = gateway.refresh(token).await;
        gateway.telemetry.authenticated(match &opened {
            Ok(_) => "refresh",
            Err(RefreshError::Session(SessionError::Ended(_))) => "refresh_refused",
            Err(RefreshError::Superseded) => "refresh_superseded",
            Err(RefreshError::Reused { .. }) => "refresh_reused",
            Err(RefreshError::Session(SessionError::Database(_))) => "failed",
        });
        if let Err(RefreshError::Reused { session, user }) = opened {
            let event = AuditEvent {
                kind: AuditKind::RefreshReused,
                user: Some(user),
                actor: None,
                session: Some(session),
                address: Some(request.address),
                data: json!({}),
            };
            gateway.audit.record(event).await;
        }
        Ok(Json(pair(&gateway, opened?)))
    }

    /// Log out
    ///
    /// Ends the login session of the credential, and the streams of this session at once. Removes the session cookie.
    /// Requires the role viewer.
    #[oai(path = "/v1/auth/logout", method = "post", operation_id = "auth_logout")]
    async fn logout(
        &self,
        caller: Caller<Person>,
        gateway: Data<&Arc<Gateway>>,
        request: Data<&RequestInfo>,
    ) -> WriteResult<LoggedOut> {
        let principal = &caller.principal;
        gateway.revoke_login_session(principal.session_id).await?;
        let event = (AuditKind::LoggedOut, Some(principal.user_id), json!({}));
        record(&gateway, &request, Some(principal), event).await;
        let cookie_name = request.cookie_name.filter(|_| caller.by_cookie);
        Ok(LoggedOut::NoContent(cookie_name.map(session_cookie::remove)))
    }

    /// Set the session cookie
    ///
    /// Sets the session cookie for the login session of an access token of an external issuer. With the cookie, the user can
    /// link accounts on the gateway's own pages. The cookie ends with the session at the latest. Other users get the cookie
    /// at their login. Requires the role viewer, and the header `Origin` with an allowed origin. 403 for a session that no
    /// external issuer has started.
    #[oai(path = "/v1/auth/cookie", method = "post", operation_id = "session_cookie_create")]
    async fn set_cookie(
        &self,
        caller: Caller<Person>,
        gateway: Data<&Arc<Gateway>>,
        request: Data<&RequestInfo>,
    ) -> ReadResult<CookieSet> {
        let Principal { user_id, session_id, session_expires_at, method, .. } = caller.principal;
        if method != Method::Issuer || caller.by_cookie {
            return Err(Problem::new(
                Kind::Forbidden,
                "only an access token of an external issuer gets a cookie here: log in with `cookie`",
            )
            .into());
        }
        let name = cookie_name(&gateway, &request)?;
        let value = gateway.session_cookies.sign(user_id, session_id, session_expires_at);
        Ok(CookieSet::NoContent(session_cookie::set(name, &value, session_expires_at)))
    }

    /// Get public keys
    ///
    /// Returns the public keys with which other services can verify access tokens. Public.
    #[oai(path = "/.well-known/jwks.json", method = "get", operation_id = "key_list")]
    async fn keys(
        &self,
        _visitor: Visitor,
        gateway: Data<&Arc<Gateway>>,
    ) -> MemoryResult<Json<JwkSet>> {
        let keys = gateway.tokens.public_keys().keys.iter().map(|key| {
            let key = serde_json::to_value(key).map_err(Problem::internal)?;
            let member = |name: &str| key[name].as_str().unwrap_or_default().to_owned();
            Ok(Jwk {
                kty: member("kty"),
                crv: member("crv"),
                x: member("x"),
                kid: member("kid"),
                alg: member("alg"),
                purpose: member("use"),
            })
        });
        Ok(Json(JwkSet { keys: keys.collect::<Result<_>>()? }))
    }
}

/// The name of the cookie to set, if the page may have one.
fn cookie_name(gateway: &Gateway, request: &RequestInfo) -> Result<&'static str> {
    check_origin(gateway, request)?;
    request.cookie_name.ok_or_else(|| {
        Problem::bad_request(
            "cookie: a cookie needs HTTPS, unless the request comes from the same machine",
        )
    })
}

fn pair(gateway: &Gateway, opened: SessionGrant) -> TokenPair {
    let SessionGrant { principal, refresh_token } = opened;
    tracing::Span::current().record("user", tracing::field::display(principal.user_id));
    let (access_token, life) =
        gateway.tokens.sign_access_token(principal.user_id, principal.session_id);
    TokenPair {
        access_token,
        token_type: "Bearer".to_owned(),
        expires_in: life.as_secs(),
        refresh_token,
        refresh_expires_in: gateway.login_sessions.life().as_secs(),
    }
}
