//! One provider: its endpoints, and the requests to them.

use std::fs;

use futures_util::future::BoxFuture;
use http::StatusCode;
use oauth2::{
    AsyncHttpClient, AuthUrl, AuthorizationCode, ClientId, ClientSecret, CsrfToken, HttpRequest,
    HttpResponse, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RefreshToken, Scope, TokenUrl,
    basic::BasicClient,
};
use parking_lot::Mutex;
use serde::Deserialize;
use url::{Url, form_urlencoded};

use super::{
    error::OauthError,
    response::{NewTokens, classify},
};
use crate::{
    config::Provider,
    http_client::{DocumentError, HttpClient, HttpError, Network},
};

/// The endpoints of a provider.
#[derive(Clone, Debug)]
pub(super) struct Endpoints {
    pub(super) authorization: Url,
    token: Url,
    revocation: Option<Url>,
    /// Whether every response of the authorization endpoint names the issuer (RFC 9207, section 3).
    pub(super) sends_issuer: bool,
}

/// The members of a discovery document that the gateway uses (RFC 8414, section 2).
#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    authorization_endpoint: Url,
    token_endpoint: Url,
    revocation_endpoint: Option<Url>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

/// Sends the requests of the library.
struct Requests<'a>(&'a HttpClient);

impl<'c> AsyncHttpClient<'c> for Requests<'_> {
    type Error = HttpError;
    type Future = BoxFuture<'c, Result<HttpResponse, HttpError>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.0.send(request))
    }
}

/// A configured provider.
#[derive(Debug)]
pub(super) struct UpstreamProvider {
    pub(super) config: Provider,
    http: HttpClient,
    redirect_uri: String,
    /// The endpoints from the discovery document. Each check reads them again.
    discovered: Mutex<Option<Endpoints>>,
}

impl UpstreamProvider {
    pub(super) fn new(config: Provider, redirect_uri: String) -> Result<Self, HttpError> {
        let network = if config.private_network { Network::Private } else { Network::Public };
        let http = HttpClient::new(network)?;
        Ok(Self { config, http, redirect_uri, discovered: Mutex::default() })
    }

    /// The issuer as it is in responses: without the slash that [`Url`] adds after the host.
    pub(super) fn issuer(&self) -> Option<&str> {
        self.config.issuer.as_ref().map(|issuer| issuer.as_str().trim_end_matches('/'))
    }

    pub(super) async fn endpoints(&self) -> Result<Endpoints, OauthError> {
        if let Some(endpoints) = self.configured() {
            return Ok(endpoints);
        }
        let known = self.discovered.lock().clone();
        match known {
            Some(endpoints) => Ok(endpoints),
            None => Ok(self.discover().await?),
        }
    }

    /// The endpoints in the configuration. `None` if the provider has a discovery document.
    fn configured(&self) -> Option<Endpoints> {
        let config = &self.config;
        Some(Endpoints {
            authorization: config.authorization_url.clone()?,
            token: config.token_url.clone()?,
            revocation: config.revocation_url.clone(),
            sends_issuer: false,
        })
    }

    /// Checks that the provider answers. Reads its discovery document. Without one, calls the token endpoint: a refusal
    /// is an answer too, because a check has no code.
    pub(super) async fn check(&self) -> Result<(), DocumentError> {
        let Some(Endpoints { token, .. }) = self.configured() else {
            return self.discover().await.map(drop);
        };
        match self.http.get(&token).await?.status() {
            status if status.is_server_error() => Err(DocumentError::Status(status)),
            _ => Ok(()),
        }
    }

    /// Reads the discovery document of OpenID Connect, or else that of RFC 8414, and keeps the endpoints.
    async fn discover(&self) -> Result<Endpoints, DocumentError> {
        let issuer = self.config.issuer.as_ref().ok_or(DocumentError::Content)?;
        let path = issuer.path().trim_end_matches('/');
        let mut url = issuer.clone();
        url.set_path(&format!("{path}/.well-known/openid-configuration"));
        let found = match self.http.get_json(&url).await {
            Err(DocumentError::Status(StatusCode::NOT_FOUND)) => {
                url.set_path(&format!("/.well-known/oauth-authorization-server{path}"));
                self.http.get_json(&url).await
            }
            found => found,
        };
        let found: Discovery = found?;
        if Some(found.issuer.trim_end_matches('/')) != self.issuer() {
            return Err(DocumentError::OtherIssuer);
        }
        // The browser goes there, not the gateway's own client, which checks its URLs.
        if !matches!(found.authorization_endpoint.scheme(), "https" | "http") {
            return Err(DocumentError::Content);
        }
        let endpoints = Endpoints {
            authorization: found.authorization_endpoint,
            token: found.token_endpoint,
            revocation: self.config.revocation_url.clone().or(found.revocation_endpoint),
            sends_issuer: found.authorization_response_iss_parameter_supported,
        };
        *self.discovered.lock() = Some(endpoints.clone());
        Ok(endpoints)
    }

    /// The URL of the authorization endpoint, with the parameters of a request (RFC 6749, section 4.1.1, and RFC 7636).
    /// Returns it with the PKCE verifier.
    pub(super) async fn authorization_url(
        &self,
        state: &str,
    ) -> Result<(Url, PkceCodeVerifier), OauthError> {
        let endpoints = self.endpoints().await?;
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let state = CsrfToken::new(state.to_owned());
        let asks_for_offline = self.config.scopes.iter().any(|scope| scope == "offline_access");
        let has_prompt = endpoints.authorization.query_pairs().any(|(name, _)| name == "prompt");
        let client = BasicClient::new(ClientId::new(self.config.client_id.clone()))
            .set_auth_uri(AuthUrl::from_url(endpoints.authorization))
            .set_redirect_uri(self.redirect_uri()?);
        let mut request = client
            .authorize_url(|| state)
            .add_scopes(self.config.scopes.iter().cloned().map(Scope::new))
            .set_pkce_challenge(challenge);
        // Without this prompt, a provider may ignore `offline_access` and issue no refresh token (OpenID Connect Core,
        // section 11).
        if asks_for_offline && !has_prompt {
            request = request.add_extra_param("prompt", "consent");
        }
        let (url, _) = request.url();
        Ok((url, verifier))
    }

    fn redirect_uri(&self) -> Result<RedirectUrl, OauthError> {
        RedirectUrl::new(self.redirect_uri.clone())
            .map_err(|_| OauthError::Unavailable("server.public_url is not a URL".to_owned()))
    }

    fn secret(&self) -> Result<Option<ClientSecret>, OauthError> {
        let text = match (&self.config.client_secret, &self.config.client_secret_file) {
            (Some(secret), _) => Some(secret.clone()),
            (None, Some(file)) => Some(fs::read_to_string(file).map_err(|_| {
                OauthError::Unavailable("its client_secret_file cannot be read".to_owned())
            })?),
            (None, None) => None,
        };
        Ok(text.map(|text| ClientSecret::new(text.trim_end().to_owned())))
    }

    fn client(&self) -> Result<BasicClient, OauthError> {
        let client = BasicClient::new(ClientId::new(self.config.client_id.clone()));
        Ok(match self.secret()? {
            Some(secret) => client.set_client_secret(secret),
            None => client,
        })
    }

    /// Exchanges a code for tokens.
    pub(super) async fn exchange(
        &self,
        code: String,
        verifier: String,
    ) -> Result<NewTokens, OauthError> {
        let token = self.endpoints().await?.token;
        let redirect_uri = self.redirect_uri()?;
        let client = self.client()?.set_token_uri(TokenUrl::from_url(token));
        let client = client.set_redirect_uri(redirect_uri);
        let response = client
            .exchange_code(AuthorizationCode::new(code))
            .set_pkce_verifier(PkceCodeVerifier::new(verifier))
            .request_async(&Requests(&self.http))
            .await;
        response.map(NewTokens::from).map_err(classify)
    }

    /// Exchanges a refresh token for tokens.
    pub(super) async fn refresh(&self, refresh: &str) -> Result<NewTokens, OauthError> {
        let token = self.endpoints().await?.token;
        let client = self.client()?.set_token_uri(TokenUrl::from_url(token));
        let response = client
            .exchange_refresh_token(&RefreshToken::new(refresh.to_owned()))
            .request_async(&Requests(&self.http))
            .await;
        response.map(NewTokens::from).map_err(classify)
    }

    /// Revokes a token (RFC 7009). Does nothing if the provider has no revocation endpoint. Returns whether a token was
    /// revoked.
    pub(super) async fn revoke(&self, token: &str, hint: &str) -> Result<bool, OauthError> {
        let Some(endpoint) = self.endpoints().await?.revocation else { return Ok(false) };
        let secret = self.secret()?;
        // In a separate block, because the serializer must not be kept during the request.
        let body = {
            let mut body = form_urlencoded::Serializer::new(String::new());
            body.append_pair("token", token).append_pair("token_type_hint", hint);
            if secret.is_none() {
                body.append_pair("client_id", &self.config.client_id);
            }
            body.finish()
        };
        let mut request = http::Request::post(endpoint.as_str())
            .header(http::header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        if let Some(secret) = &secret {
            request = request.header(http::header::AUTHORIZATION, self.basic(secret));
        }
        let request = request.body(body.into_bytes()).map_err(|_| {
            OauthError::Unavailable("its revocation endpoint is not valid".to_owned())
        })?;
        let status = self.http.send(request).await?.status();
        if status.is_success() {
            Ok(true)
        } else {
            Err(OauthError::Unavailable(format!("its revocation endpoint answers {status}")))
        }
    }

    /// The credential of the client (RFC 6749, section 2.3.1).
    fn basic(&self, secret: &ClientSecret) -> String {
        use base64::{Engine, prelude::BASE64_STANDARD};
        let encode =
            |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let pair = format!("{}:{}", encode(&self.config.client_id), encode(secret.secret()));
        format!("Basic {}", BASE64_STANDARD.encode(pair))
    }
}
