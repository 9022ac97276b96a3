//! `[oauth]`: the upstream OAuth providers at which users can link accounts.

use std::{fmt, path::PathBuf};

use serde::{Deserialize, Serialize};
use url::Url;

/// `[oauth]`
#[derive(confique::Config, Clone, Debug, PartialEq, Eq)]
#[config(layer_attr(derive(Serialize)))]
pub struct Oauth {
    /// Upstream OAuth providers at which users can link accounts, one table for each (`[[oauth.providers]]`). Each has
    /// `name` (a-z, 0-9, `-` and `_`), `client_id`, and `issuer` or `authorization_url` and `token_url`. docs/oauth.md
    /// lists the other fields. Register `<server.public_url>/v1/oauth/callback` as the redirect URI.
    #[config(default = [], env = "STREAMGATE_OAUTH__PROVIDERS", validate = are_valid)]
    pub providers: Vec<Provider>,
}

/// An upstream OAuth provider.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// Name in URLs and requests.
    pub name: String,
    /// Name for people. Without it, the name.
    pub title: Option<String>,
    /// Issuer. Without `authorization_url`, the URLs come from its discovery document.
    pub issuer: Option<Url>,
    /// Authorization endpoint (RFC 6749, section 3.1).
    pub authorization_url: Option<Url>,
    /// Token endpoint (RFC 6749, section 3.2).
    pub token_url: Option<Url>,
    /// Revocation endpoint (RFC 7009).
    pub revocation_url: Option<Url>,
    /// Client id of the gateway at the provider.
    pub client_id: String,
    /// Client secret. Absent for a public client.
    pub client_secret: Option<String>,
    /// File with the client secret, read for every request to the provider.
    pub client_secret_file: Option<PathBuf>,
    /// Scopes to ask for.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// Users whose workers may get access tokens: user names, or `role:<role>` for this role and higher ones.
    #[serde(default)]
    pub token_users: Vec<String>,
    /// Whether the provider may have a private address.
    #[serde(default)]
    pub private_network: bool,
}

impl Provider {
    /// The name for people.
    #[must_use]
    pub fn title(&self) -> &str {
        self.title.as_deref().unwrap_or(&self.name)
    }
}

/// Hides the client secret, because a log may contain the `{:?}` text.
impl fmt::Debug for Provider {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Provider")
            .field("name", &self.name)
            .field("client_id", &self.client_id)
            .field("client_secret", &self.client_secret.as_ref().map(|_| "***"))
            .finish_non_exhaustive()
    }
}

const ROLES: [&str; 4] = ["role:viewer", "role:agent", "role:operator", "role:admin"];

fn are_valid(providers: &impl AsRef<[Provider]>) -> Result<(), String> {
    let providers = providers.as_ref();
    for (index, provider) in providers.iter().enumerate() {
        let name = &provider.name;
        let fits = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
        if name.is_empty() || name.len() > 64 || !name.bytes().all(fits) {
            return Err("name must be 1 to 64 characters of a-z, 0-9, `-` and `_`".to_owned());
        }
        if providers[..index].iter().any(|other| other.name == *name) {
            return Err(format!("two providers have the name {name}"));
        }
        let urls = (&provider.authorization_url, &provider.token_url);
        if !matches!(urls, (Some(_), Some(_)))
            && (provider.issuer.is_none() || urls != (&None, &None))
        {
            return Err(format!("{name}: needs `issuer`, or `authorization_url` and `token_url`"));
        }
        let all = [
            &provider.issuer,
            &provider.authorization_url,
            &provider.token_url,
            &provider.revocation_url,
        ];
        let is_allowed = |url: &Url| {
            url.scheme() == "https" || url.scheme() == "http" && provider.private_network
        };
        if !all.into_iter().flatten().all(is_allowed) {
            return Err(format!("{name}: the URLs must start with https:"));
        }
        if provider.client_id.is_empty() {
            return Err(format!("{name}: client_id must not be empty"));
        }
        if provider.client_secret.is_some() && provider.client_secret_file.is_some() {
            return Err(format!("{name}: set only one of client_secret and client_secret_file"));
        }
        let mut roles = provider.token_users.iter().filter(|user| user.contains(':'));
        if !roles.all(|role| ROLES.contains(&role.as_str())) {
            return Err(format!(
                "{name}: a role in token_users must be one of {}",
                ROLES.join(", ")
            ));
        }
    }
    Ok(())
}
