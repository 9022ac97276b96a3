//! Resources whose owner needs a grant at an OAuth provider.

use entity::{JsonText, mcp_session, prompt, task};
use sea_orm::EntityTrait;
use uuid::Uuid;

use crate::{
    event::{Family, Topic},
    family::{FamilyError, Result},
    gateway::Gateway,
    oauth::{Authorization, is_usable},
    visibility::Resource,
};

/// The providers in a column `requires`.
#[must_use]
pub fn requires(column: Option<&JsonText>) -> Option<Vec<String>> {
    column.and_then(|names| serde_json::from_str(names.as_str()).ok())
}

/// The URL of the page on which the user of an authorization continues.
#[must_use]
pub fn page_url(gateway: &Gateway, authorization: &Authorization) -> String {
    gateway.oauth.url(&format!("/v1/oauth/authorize?request={}", authorization.id))
}

/// Checks the providers that a new resource requires. Returns the value of the column.
///
/// # Errors
/// [`FamilyError::BadInput`] if a provider is not configured, [`FamilyError::AuthorizationRequired`] if the owner has
/// no valid grant there.
pub async fn check_new(
    gateway: &Gateway,
    owner: Uuid,
    requires: Option<Vec<String>>,
) -> Result<Option<JsonText>> {
    let Some(mut requires) = requires.filter(|names| !names.is_empty()) else { return Ok(None) };
    requires.sort();
    requires.dedup();
    if let Some(index) = requires.iter().position(|name| !gateway.oauth.has(name)) {
        return Err(FamilyError::bad_input(
            format!("requires[{index}]"),
            "is not a configured provider",
        ));
    }
    check(gateway, owner, &requires).await?;
    Ok(serde_json::to_string(&requires).ok().map(JsonText::from))
}

/// Checks the grants of the owner before a stream of this resource is opened.
///
/// # Errors
/// [`FamilyError::AuthorizationRequired`] if the owner has no valid grant at a provider that the resource requires.
pub async fn check_topic(gateway: &Gateway, topic: &Topic, resource: Resource) -> Result<()> {
    let Some(owner) = resource.owner.filter(|_| resource.needs_grant) else { return Ok(()) };
    check(gateway, owner, &required_by(gateway, topic).await?).await
}

/// The providers that the resource of a topic requires.
async fn required_by(gateway: &Gateway, topic: &Topic) -> Result<Vec<String>> {
    let (reader, id) = (gateway.database.reader(), topic.id());
    let column = match topic.family() {
        Family::Task => task::Entity::find_by_id(id).one(reader).await?.map(|row| row.requires),
        Family::Prompt => prompt::Entity::find_by_id(id).one(reader).await?.map(|row| row.requires),
        Family::McpSession => {
            mcp_session::Entity::find_by_id(id).one(reader).await?.map(|row| row.requires)
        }
        Family::Topology | Family::Notification | Family::Tunnel => None,
    };
    Ok(requires(column.flatten().as_ref()).unwrap_or_default())
}

async fn check(gateway: &Gateway, owner: Uuid, providers: &[String]) -> Result<()> {
    for provider in providers {
        if !gateway.oauth.has(provider) {
            return Err(FamilyError::Forbidden(
                "a provider that this resource requires is not configured",
            ));
        }
        let grant = gateway.oauth.grant(owner, provider).await?;
        if !grant.as_ref().is_some_and(is_usable) {
            let authorization = gateway.oauth.begin(owner, provider).await?;
            return Err(FamilyError::AuthorizationRequired {
                provider: provider.clone(),
                authorization_url: page_url(gateway, &authorization),
            });
        }
    }
    Ok(())
}
