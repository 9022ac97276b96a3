//! The operations on providers and grants.

use std::sync::Arc;

use entity::Timestamp;
use poem::web::Data;
use poem_openapi::{OpenApi, param::Path};
use serde_json::json;

use super::schema::{
    OauthAccessToken, OauthAuthorization, OauthGrantList, OauthProviderList, OauthTokenRequest,
};
use crate::{
    api::{
        audit_events::record,
        caller::{Agent, Caller, Person, Viewer},
        json::Json,
        middleware::RequestInfo,
        problem::{ChangeResult, ReadResult, WriteResult},
        responses::{Created, NoContent},
        tag::Tag,
    },
    audit::AuditKind,
    family::oauth::{self, HandedOut},
    gateway::Gateway,
};

/// The operations.
pub(in crate::api) struct GrantsApi;

#[OpenApi(prefix_path = "/v1/oauth", tag = "Tag::Oauth")]
impl GrantsApi {
    /// List OAuth providers
    ///
    /// Returns the upstream OAuth providers of the configuration. Requires the role viewer.
    #[oai(path = "/providers", method = "get", operation_id = "oauth_provider_list")]
    async fn providers(
        &self,
        _caller: Caller<Viewer>,
        gateway: Data<&Arc<Gateway>>,
    ) -> ReadResult<Json<OauthProviderList>> {
        let providers = gateway.oauth.providers().map(Into::into).collect();
        Ok(Json(OauthProviderList { providers }))
    }

    /// List OAuth grants
    ///
    /// Returns the caller's grants with their status and the end of their access tokens, without tokens. Requires the
    /// role viewer.
    #[oai(path = "/grants", method = "get", operation_id = "oauth_grant_list")]
    async fn grants(
        &self,
        caller: Caller<Viewer>,
        gateway: Data<&Arc<Gateway>>,
    ) -> ReadResult<Json<OauthGrantList>> {
        let grants = gateway.oauth.grants(caller.principal.user_id).await?;
        Ok(Json(OauthGrantList { grants: grants.into_iter().map(Into::into).collect() }))
    }

    /// Begin an authorization
    ///
    /// Begins to link an account of the caller at a provider. Open the `authorization_url` in the browser of the caller
    /// within ten minutes. The page asks for the caller's login, shows what is linked, and leads to the provider.
    /// Requires the role viewer, and no API key. 404 if the provider is not configured.
    #[oai(
        path = "/grants/:provider/authorize",
        method = "post",
        operation_id = "oauth_grant_authorize"
    )]
    async fn authorize(
        &self,
        caller: Caller<Person>,
        gateway: Data<&Arc<Gateway>>,
        /// Name of the provider.
        provider: Path<String>,
    ) -> WriteResult<Created<OauthAuthorization>> {
        let authorization = gateway.oauth.begin(caller.principal.user_id, &provider.0).await?;
        Ok(Created::Created(Json(OauthAuthorization {
            authorization_url: oauth::page_url(&gateway, &authorization),
            expires_at: authorization.expires_at.datetime(),
        })))
    }

    /// Delete an OAuth grant
    ///
    /// Deletes a grant of the caller, and asks the provider to revoke its tokens. Requires the role viewer, and no API
    /// key. 404 if the caller has no grant at this provider.
    #[oai(path = "/grants/:provider", method = "delete", operation_id = "oauth_grant_delete")]
    async fn delete(
        &self,
        caller: Caller<Person>,
        gateway: Data<&Arc<Gateway>>,
        request: Data<&RequestInfo>,
        /// Name of the provider.
        provider: Path<String>,
    ) -> WriteResult<NoContent> {
        let user = caller.principal.user_id;
        let revoked = oauth::unlink(&gateway, user, &provider.0).await?;
        let data = json!({ "provider": provider.0, "revoked_at_provider": revoked });
        let event = (AuditKind::OauthRevoked, Some(user), data);
        record(&gateway, &request, Some(&caller.principal), event).await;
        Ok(NoContent::NoContent)
    }

    /// Get an access token
    ///
    /// Returns the current access token of the owner of a claimed task or prompt. The work must require the provider,
    /// and the lease must be live. A token that is due for a refresh is refreshed first.
    ///
    /// Requires the role agent. The response is 403 if `token_users` of the provider does not list the caller, and also
    /// if the work does not require the provider. It is 404 if the provider or the work does not exist. It is 409 if the
    /// lease is lost, and also if the owner has no valid grant.
    #[oai(path = "/grants/:provider/token", method = "post", operation_id = "oauth_grant_token")]
    async fn token(
        &self,
        caller: Caller<Agent>,
        gateway: Data<&Arc<Gateway>>,
        request: Data<&RequestInfo>,
        /// Name of the provider.
        provider: Path<String>,
        body: Json<OauthTokenRequest>,
    ) -> ChangeResult<Json<OauthAccessToken>> {
        let work = (&body.topic.0, body.lease_token);
        let handed_out = oauth::hand_out(&gateway, &caller.principal, &provider.0, work).await?;
        let HandedOut { owner, access_token, scopes, expires_at } = handed_out;
        let data = json!({ "provider": provider.0, "topic": body.topic.0.as_str() });
        let event = (AuditKind::OauthTokenIssued, Some(owner), data);
        record(&gateway, &request, Some(&caller.principal), event).await;
        Ok(Json(OauthAccessToken {
            access_token,
            token_type: "Bearer".to_owned(),
            scopes,
            expires_at: expires_at.map(Timestamp::datetime),
        }))
    }
}
