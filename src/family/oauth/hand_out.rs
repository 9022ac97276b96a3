//! Gives the access token of an owner's grant to the worker that has claimed the owner's work.

use std::sync::Arc;

use entity::{Timestamp, prompt, task, user::Role};
use sea_orm::EntityTrait;
use uuid::Uuid;

use super::{refresh::refresh, requirement::requires};
use crate::{
    auth::login_session::Principal,
    config::Provider,
    event::{Family, Topic},
    family::{FamilyError, Result, check_family, prompt::publish_state::PublishState, task::lease},
    gateway::Gateway,
    oauth::{is_usable, scopes},
};

/// An access token for a worker.
pub struct HandedOut {
    /// Id of the user that the grant belongs to.
    pub owner: Uuid,
    /// The access token.
    pub access_token: String,
    /// Scopes of the grant.
    pub scopes: Vec<String>,
    /// Time at which the access token expires. Absent if the provider gave no lifetime.
    pub expires_at: Option<Timestamp>,
}

/// Gives a worker the current access token of the owner of a task or a prompt. If the token is due for a refresh, it is
/// refreshed first.
///
/// # Errors
/// - [`FamilyError::NotFound`] if the provider is not configured, or if there is no such task or prompt.
/// - [`FamilyError::Forbidden`] if `token_users` of the provider does not have this caller, or if the work does not
///   require the provider.
/// - [`FamilyError::LeaseLost`] if the lease is not live.
/// - [`FamilyError::Conflict`] if the owner has no valid grant, or is disabled.
/// - [`FamilyError::Oauth`] if the token has expired and cannot be refreshed at the moment.
pub async fn hand_out(
    gateway: &Arc<Gateway>,
    principal: &Principal,
    provider: &str,
    (topic, token): (&Topic, Uuid),
) -> Result<HandedOut> {
    let configured = gateway.oauth.providers().find(|known| known.name == provider);
    if !may_ask(configured.ok_or(FamilyError::NotFound)?, principal) {
        return Err(FamilyError::Forbidden("token_users of this provider does not list this user"));
    }
    check_family(principal, topic.family())?;
    let (owner, required) = under_lease(gateway, topic, token).await?;
    if !required.iter().any(|name| name == provider) {
        return Err(FamilyError::Forbidden("this work does not require this provider"));
    }
    if gateway.users.find(owner).await.is_ok_and(|owner| owner.disabled) {
        return Err(FamilyError::conflict("the owner is disabled"));
    }
    let no_grant = || FamilyError::conflict("the owner has no valid grant at this provider");
    let mut grant = gateway.oauth.grant(owner, provider).await?.ok_or_else(no_grant)?;
    let is_valid = grant.access_expires_at.is_none_or(|at| at > Timestamp::now());
    let is_due = !is_valid || grant.refresh_at.is_some_and(|at| at <= Timestamp::now());
    if is_due && is_usable(&grant) && grant.refreshable {
        match refresh(gateway, grant.clone()).await {
            Ok(refreshed) => grant = refreshed,
            // The token that was stored is still good for a while.
            Err(error) if is_valid => {
                tracing::debug!(%error, "giving out a token that is due for a refresh");
                grant = gateway.oauth.grant(owner, provider).await?.ok_or_else(no_grant)?;
            }
            Err(error) => return Err(error),
        }
    }
    if !is_usable(&grant) {
        return Err(no_grant());
    }
    let access_token = gateway.oauth.access_token(&grant)?;
    let (scopes, expires_at) = (scopes(&grant), grant.access_expires_at);
    Ok(HandedOut { owner, access_token, scopes, expires_at })
}

fn may_ask(provider: &Provider, principal: &Principal) -> bool {
    provider.token_users.iter().any(|entry| {
        let lowest = match entry.strip_prefix("role:") {
            None => return *entry == principal.username,
            Some("viewer") => Role::Viewer,
            Some("agent") => Role::Agent,
            Some("operator") => Role::Operator,
            Some(_) => Role::Admin,
        };
        principal.role >= lowest
    })
}

/// The owner of a task or a prompt under this lease, and the providers that it requires.
async fn under_lease(gateway: &Gateway, topic: &Topic, token: Uuid) -> Result<(Uuid, Vec<String>)> {
    let (reader, id) = (gateway.database.reader(), topic.id());
    let (owner, column) = match topic.family() {
        Family::Task => {
            let row = task::Entity::find_by_id(id).one(reader).await?;
            let row = row.ok_or(FamilyError::NotFound)?;
            lease::check(&row, token, &gateway.clock.read())?;
            (row.owner_id, row.requires)
        }
        Family::Prompt => {
            let row = prompt::Entity::find_by_id(id).one(reader).await?;
            let row = row.ok_or(FamilyError::NotFound)?;
            PublishState::from(&row).check_lease(token, &gateway.clock.read())?;
            (row.owner_id, row.requires)
        }
        Family::McpSession | Family::Topology | Family::Notification | Family::Tunnel => {
            return Err(FamilyError::NotFound);
        }
    };
    Ok((owner, requires(column.as_ref()).unwrap_or_default()))
}
