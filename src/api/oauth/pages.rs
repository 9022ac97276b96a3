//! The pages that a browser opens to link an account: login, consent, and the callback of the provider.
//!
//! `src/oauth/flow.rs` says why the page asks for a login. A refused step gets a page for people. Only failures that are
//! not about the step, such as a limit, get a problem.

use std::sync::Arc;

use poem::{Request, web::Data};
use poem_openapi::{OpenApi, param::Query, payload::Form};
use serde_json::json;
use uuid::Uuid;

use super::{
    cookie,
    html::Html,
    schema::{PageContinue, PageLogin},
};
use crate::{
    api::{
        audit_events::record,
        caller::count,
        credential::{Credential, check_origin},
        middleware::RequestInfo,
        problem::{Kind, Problem, Result, WriteResult},
        session_cookie,
        tag::Tag,
        visitor::Probe,
    },
    audit::AuditKind,
    auth::password,
    config::Provider,
    family::{self, FamilyError},
    gateway::Gateway,
    limit::{Key, Quota},
    oauth::{Authorization, OauthError},
};

/// The operations.
pub(in crate::api) struct PagesApi;

#[OpenApi(prefix_path = "/v1/oauth", tag = "Tag::Oauth")]
impl PagesApi {
    /// Open an authorization
    ///
    /// Returns a page that asks for the login of the user that has begun the authorization. If the browser has the
    /// session cookie of this user, the page shows what is linked at once. Public.
    #[oai(path = "/authorize", method = "get", operation_id = "oauth_page_get")]
    async fn open(
        &self,
        _probe: Probe,
        gateway: Data<&Arc<Gateway>>,
        info: Data<&RequestInfo>,
        http: &Request,
        /// Id of the authorization.
        request: Query<Uuid>,
    ) -> WriteResult<Html> {
        let (authorization, provider) = match find(&gateway, request.0).await {
            Ok(found) => found,
            Err(error) => return Ok(refusal(error)?),
        };
        match cookie_user(&gateway, http).await? {
            Some((user, name)) if user == authorization.user => {
                Ok(consent(&gateway, &info, &authorization, provider, &name).await?)
            }
            Some(_) => Ok(Html::login(request.0, provider, Some(OTHER_USER))),
            None => Ok(Html::login(request.0, provider, None)),
        }
    }

    /// Log in for an authorization
    ///
    /// Checks the login on the page. It must be the user that has begun the authorization. Then the page shows what is
    /// linked, and the browser gets a one-time cookie. The limits of logins apply. Public, from an allowed origin
    /// only.
    #[oai(path = "/authorize", method = "post", operation_id = "oauth_page_login")]
    async fn log_in(
        &self,
        _probe: Probe,
        gateway: Data<&Arc<Gateway>>,
        info: Data<&RequestInfo>,
        body: Form<PageLogin>,
    ) -> WriteResult<Html> {
        check_origin(&gateway, &info)?;
        let PageLogin { request, username, password } = body.0;
        let name = username;
        let (authorization, provider) = match find(&gateway, request).await {
            Ok(found) => found,
            Err(error) => return Ok(refusal(error)?),
        };
        if name.chars().count() > MAX_NAME {
            return Ok(Html::login(request, provider, Some(WRONG_LOGIN)));
        }
        count(&gateway, Quota::LoginsPerAddress, &Key::address(info.address))?;
        count(&gateway, Quota::LoginsPerUser, &Key::name_at(name.clone(), info.address))?;
        count(&gateway, Quota::LoginsPerName, &Key::Name(name.clone()))?;
        let user = if password.len() > password::MAX_BYTES {
            None
        } else {
            gateway.users.authenticate(&name, password).await?
        };
        let outcome = if user.is_some() { "login" } else { "login_refused" };
        gateway.telemetry.authenticated(outcome);
        let kind = if user.is_some() { AuditKind::LoginSucceeded } else { AuditKind::LoginFailed };
        let id = user.as_ref().map(|user| user.id);
        let data = json!({ "for": "oauth" });
        record(&gateway, &info, None, (kind, id, data)).await;
        match id {
            None => Ok(Html::login(request, provider, Some(WRONG_LOGIN))),
            Some(id) if id != authorization.user => {
                Ok(Html::login(request, provider, Some(OTHER_USER)))
            }
            Some(_) => Ok(consent(&gateway, &info, &authorization, provider, &name).await?),
        }
    }

    /// Continue an authorization
    ///
    /// Redirects the browser with the one-time cookie to the provider. Public, from an allowed origin only.
    #[oai(path = "/authorize/continue", method = "post", operation_id = "oauth_page_continue")]
    async fn go_on(
        &self,
        _probe: Probe,
        gateway: Data<&Arc<Gateway>>,
        info: Data<&RequestInfo>,
        http: &Request,
        body: Form<PageContinue>,
    ) -> WriteResult<Html> {
        check_origin(&gateway, &info)?;
        let cookie = one_time_cookie(&info, http);
        Ok(match gateway.oauth.start(body.request, cookie).await {
            Ok(url) => Html::redirect(&url),
            Err(error) => refusal(error)?,
        })
    }

    /// End an authorization
    ///
    /// The redirect URI of the gateway at every provider. Exchanges the code for tokens and stores them, if the browser
    /// has the one-time cookie of this `state`. Public.
    #[expect(clippy::too_many_arguments, reason = "one argument for each parameter")]
    #[oai(path = "/callback", method = "get", operation_id = "oauth_callback")]
    async fn callback(
        &self,
        _probe: Probe,
        gateway: Data<&Arc<Gateway>>,
        info: Data<&RequestInfo>,
        http: &Request,
        /// The value that the gateway has sent to the provider (RFC 6749, section 4.1.2).
        state: Query<Option<String>>,
        /// The code of the provider.
        code: Query<Option<String>>,
        /// The error of the provider (RFC 6749, section 4.1.2.1).
        error: Query<Option<String>>,
        /// The issuer of the response (RFC 9207).
        iss: Query<Option<String>>,
    ) -> WriteResult<Html> {
        let cookie = one_time_cookie(&info, http).to_owned();
        let state = state.0.unwrap_or_default();
        let callback = match gateway.oauth.take(&state, &cookie).await {
            Ok(callback) => callback,
            Err(error) => return Ok(refusal(error)?),
        };
        let remove = cookie::name(&info).map(cookie::remove).unwrap_or_default();
        let Some(code) = code.0.filter(|_| error.0.is_none()) else {
            let denied = error.0.as_deref() == Some("access_denied");
            let text = if denied {
                "You have declined at the provider. Nothing was linked."
            } else {
                "The provider has refused the authorization. Nothing was linked."
            };
            return Ok(Html::message("Not linked", text).with_cookie(&remove));
        };
        let running = Arc::clone(&gateway);
        // To its end, even if the browser goes away: the code is used up.
        let work = async move { family::oauth::link(&running, callback, code, iss.0).await };
        let linked = gateway.run_to_end(work).await.map_err(Problem::internal)?;
        Ok(match linked {
            Ok(linked) => {
                let data = json!({ "provider": linked.provider });
                record(&gateway, &info, None, (AuditKind::OauthLinked, Some(linked.user), data))
                    .await;
                Html::message("Account linked", "Your account is linked. You can close this page.")
            }
            Err(FamilyError::Oauth(error)) => refusal(error)?,
            Err(error) => return Err(error.into()),
        }
        .with_cookie(&remove))
    }
}

/// Maximum length of a user name, in characters.
const MAX_NAME: usize = 64;

const WRONG_LOGIN: &str = "The user name or the password is wrong.";

const OTHER_USER: &str =
    "Another user has asked for this link. If somebody has sent you the link, close this page.";

/// The authorization and its provider.
async fn find(
    gateway: &Gateway,
    request: Uuid,
) -> std::result::Result<(Authorization, &Provider), OauthError> {
    let authorization = gateway.oauth.authorization(request).await?;
    let mut providers = gateway.oauth.providers();
    let provider = providers.find(|provider| provider.name == authorization.provider);
    Ok((authorization, provider.ok_or(OauthError::UnknownProvider)?))
}

/// The page that shows what is linked to whom, with the one-time cookie.
async fn consent(
    gateway: &Gateway,
    info: &RequestInfo,
    authorization: &Authorization,
    provider: &Provider,
    user: &str,
) -> Result<Html> {
    let Some(name) = cookie::name(info) else {
        return Err(Problem::new(Kind::Forbidden, "linking an account needs HTTPS"));
    };
    let target = match gateway.oauth.target(&provider.name).await {
        Ok(target) => target,
        Err(error) => return refusal(error),
    };
    Ok(match gateway.oauth.confirm(authorization.id).await {
        Ok(value) => {
            let page = Html::consent(authorization.id, provider, user, &target);
            page.with_cookie(&cookie::set(name, &value))
        }
        Err(error) => refusal(error)?,
    })
}

/// The user of the session cookie. External users have no password, so they need this cookie.
async fn cookie_user(gateway: &Gateway, request: &Request) -> Result<Option<(Uuid, String)>> {
    match Credential::from_request(gateway, request, false) {
        Ok(Some(cookie @ Credential::Cookie(_))) => {
            match cookie.authenticate(gateway, request, false).await {
                Ok(found) => Ok(Some((found.principal.user_id, found.principal.username))),
                // Then the page asks for the password.
                Err(problem) if problem.status().is_client_error() => Ok(None),
                Err(problem) => Err(problem),
            }
        }
        _ => Ok(None),
    }
}

/// The value of the one-time cookie, or an empty text, which matches no authorization.
fn one_time_cookie<'a>(info: &RequestInfo, request: &'a Request) -> &'a str {
    let value = cookie::name(info).and_then(|name| session_cookie::value(request.headers(), name));
    value.unwrap_or_default()
}

/// The page for a refused step. Failures of the gateway get a problem.
fn refusal(error: OauthError) -> Result<Html> {
    match error {
        OauthError::Database(_) | OauthError::Keys(_) => Err(error.into()),
        OauthError::Unavailable(_) => {
            tracing::warn!(%error, "cannot link an account");
            let text = "The provider cannot be used at the moment. Try again later.";
            Ok(Html::message("Not linked", text))
        }
        OauthError::UnknownProvider | OauthError::UnknownAuthorization | OauthError::NoGrant => {
            let text = "This link is not valid, has expired, was used, or belongs to another browser. Begin again.";
            Ok(Html::message("Not linked", text))
        }
        OauthError::OtherIssuer | OauthError::Refused(_) => {
            tracing::warn!(%error, "cannot link an account");
            let text = "The response of the provider was refused. Begin again.";
            Ok(Html::message("Not linked", text))
        }
    }
}
