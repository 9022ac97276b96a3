//! Grants of users at upstream OAuth providers: the authorization, the encrypted tokens and their refresh.
//!
//! Promises:
//! - The database has tokens and PKCE verifiers only encrypted. The keys are in the data directory, see `keyring.rs`.
//! - A state and a code are used once, by the browser whose user has confirmed the identity, see `flow.rs`.
//! - At most one gateway refreshes a grant at a time, and new tokens are stored before they are used, see `refresh.rs`.
//! - No token and no secret is in a log line, in an error or in `Debug` output.

mod error;
mod flow;
mod grants;
mod keyring;
mod provider;
mod refresh;
mod response;

pub use error::OauthError;
pub use flow::{Authorization, Callback};
pub use grants::{is_usable, scopes};
pub use keyring::{Keyring, KeyringError};
pub use refresh::Refreshed;

use crate::{
    config::{Config, Provider},
    database::Database,
    http_client::HttpError,
};
use provider::UpstreamProvider;

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
    database: Database,
    keyring: Keyring,
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
        let base_url = match &config.server.public_url {
            Some(url) => url.to_string(),
            None => {
                let is_https = config.server.tls_certificate.is_some();
                format!("{}://{}", if is_https { "https" } else { "http" }, config.listen)
            }
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

    fn provider(&self, name: &str) -> Result<&UpstreamProvider, OauthError> {
        let found = self.providers.iter().find(|provider| provider.config.name == name);
        found.ok_or(OauthError::UnknownProvider)
    }
}
