//! The engine of grants: the configured providers, and the keys.

use super::{
    error::OauthError,
    keyring::{Keyring, KeyringError},
    provider::UpstreamProvider,
};
use crate::{
    config::{Config, Provider},
    database::Database,
    http_client::{DocumentError, HttpError},
};

/// Path of the callback, which the redirect URI ends with.
pub const CALLBACK: &str = "/v1/oauth/callback";

/// The engine cannot start.
#[derive(Debug, thiserror::Error)]
pub enum OauthStartError {
    /// The keys cannot be loaded or created.
    #[error(transparent)]
    Keys(#[from] KeyringError),
    /// The HTTP client cannot be created.
    #[error("oauth.providers: cannot create the HTTP client")]
    Http(#[from] HttpError),
}

/// The grants of all users at all configured providers.
#[derive(Debug)]
pub struct Oauth {
    pub(super) database: Database,
    pub(super) keyring: Keyring,
    providers: Vec<UpstreamProvider>,
    base_url: String,
}

impl Oauth {
    /// Prepares the configured providers. With at least one, loads the encryption keys, and creates the first one if
    /// there is none.
    pub fn new(config: &Config, database: Database) -> Result<Self, OauthStartError> {
        let keyring = Keyring::new(&config.data_dir);
        if !config.oauth.providers.is_empty() {
            keyring.load()?;
        }
        let base_url = if let Some(url) = &config.server.public_url {
            url.to_string()
        } else {
            let is_https = config.server.tls_certificate.is_some();
            format!("{}://{}", if is_https { "https" } else { "http" }, config.listen)
        };
        let redirect_uri = format!("{base_url}{CALLBACK}");
        let providers = config.oauth.providers.iter();
        let providers = providers
            .map(|provider| UpstreamProvider::new(provider.clone(), redirect_uri.clone()))
            .collect::<Result<_, HttpError>>()?;
        Ok(Self { database, keyring, providers, base_url })
    }

    /// Whether a provider is configured.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        !self.providers.is_empty()
    }

    /// Whether a provider with this name is configured.
    #[must_use]
    pub fn has(&self, provider: &str) -> bool {
        self.provider(provider).is_ok()
    }

    /// The absolute URL of a path of the gateway.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base_url)
    }

    /// The configured providers.
    pub fn providers(&self) -> impl Iterator<Item = &Provider> {
        self.providers.iter().map(|provider| &provider.config)
    }

    /// The check of each provider, with its name. A check reads the discovery document, or else calls the token endpoint.
    pub fn checks(
        &self,
    ) -> impl Iterator<Item = (&str, impl Future<Output = Result<(), DocumentError>>)> {
        self.providers.iter().map(|provider| (provider.config.name.as_str(), provider.check()))
    }

    pub(super) fn provider(&self, name: &str) -> Result<&UpstreamProvider, OauthError> {
        let found = self.providers.iter().find(|provider| provider.config.name == name);
        found.ok_or(OauthError::UnknownProvider)
    }
}
