//! Providers and grants on the wire.

use entity::{
    Timestamp,
    oauth_grant::{self, Status},
};
use poem_openapi::{Object, types::Example};
use serde::Deserialize;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    api::streams::TopicName,
    config::Provider,
    event::{Family, Topic},
    family::wire::{example_id, example_time, wire_enum},
    oauth::{is_usable, scopes},
};

wire_enum! {
    /// Status of a grant.
    pub(in crate::api) GrantStatus <=> Status {
        /// The last refresh succeeded, or none was needed.
        Active,
        /// The last refreshes failed for a reason that may pass. The gateway tries again.
        Failed,
        /// The provider has refused the refresh token, or the access token has expired and there is no refresh token. Only a
        /// new authorization helps.
        Expired,
    }
}

/// An upstream OAuth provider.
#[derive(Object)]
#[oai(example)]
pub(super) struct OauthProvider {
    /// Name of the provider.
    name: String,
    /// Name for people.
    title: String,
    /// Scopes that the gateway asks for.
    scopes: Vec<String>,
}

impl From<&Provider> for OauthProvider {
    fn from(provider: &Provider) -> Self {
        let (name, title) = (provider.name.clone(), provider.title().to_owned());
        Self { name, title, scopes: provider.scopes.clone() }
    }
}

impl Example for OauthProvider {
    fn example() -> Self {
        Self {
            name: "github".to_owned(),
            title: "GitHub".to_owned(),
            scopes: vec!["repo".to_owned()],
        }
    }
}

/// The providers.
#[derive(Object)]
#[oai(example)]
pub(super) struct OauthProviderList {
    /// The configured providers.
    pub(super) providers: Vec<OauthProvider>,
}

impl Example for OauthProviderList {
    fn example() -> Self {
        Self { providers: vec![OauthProvider::example()] }
    }
}

/// A grant: an account at an OAuth provider that the user has linked.
#[derive(Object)]
#[oai(example, skip_serializing_if_is_none)]
pub(in crate::api) struct OauthGrant {
    /// Grant id. A new authorization gives a new id.
    id: Uuid,
    /// Name of the provider.
    provider: String,
    /// Scopes that the provider has granted.
    scopes: Vec<String>,
    /// Status of the grant.
    status: GrantStatus,
    /// Whether the gateway can refresh the access token.
    refreshable: bool,
    /// Time at which the access token expires, UTC. Absent if the provider gave no lifetime.
    access_expires_at: Option<OffsetDateTime>,
    /// Time at which the account was linked, UTC.
    created_at: OffsetDateTime,
    /// Time at which the gateway got the newest tokens, UTC.
    updated_at: OffsetDateTime,
}

impl From<oauth_grant::Model> for OauthGrant {
    fn from(row: oauth_grant::Model) -> Self {
        Self {
            id: row.id,
            scopes: scopes(&row),
            status: if is_usable(&row) { row.status } else { Status::Expired }.into(),
            provider: row.provider,
            refreshable: row.refreshable,
            access_expires_at: row.access_expires_at.map(Timestamp::datetime),
            created_at: row.created_at.datetime(),
            updated_at: row.updated_at.datetime(),
        }
    }
}

impl Example for OauthGrant {
    fn example() -> Self {
        Self {
            id: example_id(),
            provider: "github".to_owned(),
            scopes: vec!["repo".to_owned()],
            status: GrantStatus::Active,
            refreshable: true,
            access_expires_at: Some(example_time()),
            created_at: example_time(),
            updated_at: example_time(),
        }
    }
}

/// The grants of a user.
#[derive(Object)]
#[oai(example)]
pub(super) struct OauthGrantList {
    /// The grants, at most one for each provider, in the order of their names.
    pub(super) grants: Vec<OauthGrant>,
}

impl Example for OauthGrantList {
    fn example() -> Self {
        Self { grants: vec![OauthGrant::example()] }
    }
}

/// An authorization that has begun.
#[derive(Object)]
#[oai(example)]
pub(super) struct OauthAuthorization {
    /// Page of the gateway to open in the user's browser.
    pub(super) authorization_url: String,
    /// Time at which the authorization expires, UTC.
    pub(super) expires_at: OffsetDateTime,
}

impl Example for OauthAuthorization {
    fn example() -> Self {
        let page = "https://example.com/v1/oauth/authorize?request=";
        let authorization_url = format!("{page}{}", example_id());
        Self { authorization_url, expires_at: example_time() }
    }
}

/// The work for which a worker asks for an access token.
#[derive(Object)]
#[oai(example, deny_unknown_fields)]
pub(super) struct OauthTokenRequest {
    /// Topic of the claimed task or prompt: `task.<id>` or `prompt.<id>`.
    pub(super) topic: TopicName,
    /// Lease token of the claim.
    pub(super) lease_token: Uuid,
}

impl Example for OauthTokenRequest {
    fn example() -> Self {
        Self { topic: TopicName(Topic::new(Family::Task, example_id())), lease_token: example_id() }
    }
}

/// An access token of the owner of claimed work. Never store it or write it to a log.
#[derive(Object)]
#[oai(example, skip_serializing_if_is_none)]
pub(super) struct OauthAccessToken {
    /// Access token for requests to the provider.
    pub(super) access_token: String,
    /// Always `Bearer`.
    pub(super) token_type: String,
    /// Scopes that the provider has granted.
    pub(super) scopes: Vec<String>,
    /// Time at which the token expires, UTC. Absent if the provider gave no lifetime. Ask again then.
    pub(super) expires_at: Option<OffsetDateTime>,
}

impl Example for OauthAccessToken {
    fn example() -> Self {
        Self {
            access_token: "gho_16C7e42F292c6912E7710c838347Ae178B4a".to_owned(),
            token_type: "Bearer".to_owned(),
            scopes: vec!["repo".to_owned()],
            expires_at: Some(example_time()),
        }
    }
}

/// The login on the page of an authorization.
#[derive(Object, Deserialize)]
#[oai(example)]
pub(super) struct PageLogin {
    /// Id of the authorization.
    pub(super) request: Uuid,
    /// User name, at most 64 characters.
    #[oai(validator(max_length = 64))]
    pub(super) username: String,
    /// Password, at most 1,024 bytes in UTF-8.
    #[oai(validator(max_length = 1024))]
    pub(super) password: String,
}

impl Example for PageLogin {
    fn example() -> Self {
        let (username, password) = ("ada".into(), "correct horse battery staple".into());
        Self { request: example_id(), username, password }
    }
}

/// The confirmation on the page of an authorization.
#[derive(Object, Deserialize)]
#[oai(example)]
pub(super) struct PageContinue {
    /// Id of the authorization.
    pub(super) request: Uuid,
}

impl Example for PageContinue {
    fn example() -> Self {
        Self { request: example_id() }
    }
}
