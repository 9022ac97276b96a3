//! `[auth]`: other ways to authenticate requests.

use std::collections::{BTreeMap, BTreeSet};

use entity::user;
use serde::{Deserialize, Serialize};
use url::Url;

use super::validate;

/// `[auth]`
#[derive(confique::Config, Clone, Debug, PartialEq, Eq)]
#[config(layer_attr(derive(Serialize)))]
pub struct Auth {
    /// External issuers whose access tokens are accepted, one table for each (`[[auth.issuers]]`). Each has `issuer` (the
    /// exact `iss` claim), `audience` (must be in `aud`), and `roles` or `default_role`. docs/issuers.md lists the other
    /// fields. Example:
    /// `[{ issuer = "https://id.example.com", audience = "streamgate", roles = { staff = "operator" } }]`.
    #[config(default = [], env = "STREAMGATE_AUTH__ISSUERS", validate = issuers)]
    pub issuers: Vec<Issuer>,

    /// Header in which a proxy names the user of a request, such as `X-Forwarded-User`. The proxy authenticates the user,
    /// and must remove the header from the requests of clients. The header counts only if `server.trusted_proxies`
    /// contains the address of the connection. Such a request needs an allowed `Origin`, like one with the session
    /// cookie. Absent: no header names a user.
    #[config(env = "STREAMGATE_AUTH__PROXY_USER_HEADER", validate = validate::header_name)]
    pub proxy_user_header: Option<String>,

    /// Whether the header of a proxy can name an administrator with all rights of an administrator. With `false`, such a
    /// request has the role operator.
    #[config(default = false, env = "STREAMGATE_AUTH__PROXY_ADMINISTRATORS")]
    pub proxy_administrators: bool,
}

/// An external issuer of access tokens.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Issuer {
    /// The exact `iss` claim.
    pub issuer: String,
    /// URL of the discovery document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discovery_url: Option<String>,
    /// URL of the keys. Replaces discovery.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_url: Option<String>,
    /// The audience that `aud` must contain.
    pub audience: String,
    /// Signature algorithms that are accepted.
    #[serde(default = "default_algorithms")]
    pub algorithms: Vec<String>,
    /// The `typ` header of access tokens.
    #[serde(default = "default_token_type")]
    pub token_type: String,
    /// Name of the claim with the roles, or the path to it.
    #[serde(default = "default_role_claim")]
    pub role_claim: String,
    /// The role for each value of the claim.
    #[serde(default)]
    pub roles: BTreeMap<String, IssuerRole>,
    /// The role of a token without a value that is in `roles`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_role: Option<IssuerRole>,
    /// The highest role of the issuer's users.
    #[serde(default = "default_max_role")]
    pub max_role: IssuerRole,
    /// The claim with the name of the user, for people.
    #[serde(default = "default_name_claim")]
    pub name_claim: String,
    /// Whether a user is created at the first use of a token.
    #[serde(default = "default_create_users")]
    pub create_users: bool,
    /// Whether the issuer may have a private address.
    #[serde(default)]
    pub private_network: bool,
}

/// Role of a user, as the configuration writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum IssuerRole {
    /// Watches streams.
    Viewer,
    /// Also claims work.
    Agent,
    /// Also changes resources.
    Operator,
    /// Also manages users.
    Admin,
}

impl From<IssuerRole> for user::Role {
    fn from(role: IssuerRole) -> Self {
        match role {
            IssuerRole::Viewer => Self::Viewer,
            IssuerRole::Agent => Self::Agent,
            IssuerRole::Operator => Self::Operator,
            IssuerRole::Admin => Self::Admin,
        }
    }
}

fn default_algorithms() -> Vec<String> {
    vec!["RS256".to_owned()]
}

fn default_token_type() -> String {
    "at+jwt".to_owned()
}

fn default_role_claim() -> String {
    "roles".to_owned()
}

fn default_max_role() -> IssuerRole {
    IssuerRole::Operator
}

fn default_name_claim() -> String {
    "preferred_username".to_owned()
}

fn default_create_users() -> bool {
    true
}

/// Plain HTTP is for private addresses. The client checks the address, because a name can have several.
fn is_url(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "https" | "http") && url.has_host())
}

/// Checks each issuer. The parser has checked the names and the types of the fields.
fn issuers(issuers: &impl AsRef<[Issuer]>) -> Result<(), String> {
    let mut names = BTreeSet::new();
    for issuer in issuers.as_ref() {
        let name = &issuer.issuer;
        for url in [Some(name), issuer.discovery_url.as_ref(), issuer.jwks_url.as_ref()] {
            if let Some(text) = url.filter(|text| !is_url(text)) {
                return Err(format!("`{text}` must be a URL that starts with https://"));
            }
        }
        if !names.insert(name) {
            return Err(format!("`{name}` must be in the list once"));
        }
        if issuer.discovery_url.is_some() && issuer.jwks_url.is_some() {
            return Err(format!("`{name}` must have `discovery_url` or `jwks_url`, not both"));
        }
        if issuer.audience.is_empty() || issuer.token_type.is_empty() {
            return Err(format!("`audience` and `token_type` of `{name}` must not be empty"));
        }
        if issuer.roles.is_empty() && issuer.default_role.is_none() {
            return Err(format!("`{name}` must have `roles` or `default_role`"));
        }
        validate::algorithms(&issuer.algorithms)
            .map_err(|reason| format!("`algorithms` of `{name}`: {reason}"))?;
    }
    Ok(())
}
