//! Publishes a message in an MCP session.

use entity::user::Role;
use uuid::Uuid;

use super::{resource::McpSessionFamily, rows::topic, schema::PublishedMessage};
use crate::{
    auth::login_session::Principal,
    family::{FamilyError, ResourceFamily, Result, find_visible, new_event, wire::Message},
    gateway::Gateway,
    visibility::Resource,
};

/// Maximum size of a message, in bytes of JSON. Every subscriber gets a message in one event.
const MAX_MESSAGE: usize = 262_144;

/// Publishes a message. Returns after the commit.
///
/// # Errors
/// - [`FamilyError::NotFound`] if the session does not exist, or if the caller may not publish.
/// - [`FamilyError::BadInput`] if the message is too large.
/// - [`FamilyError::Conflict`] if the session uses a tunnel.
/// - [`FamilyError::LeaseLost`] if the session is closed.
/// - [`FamilyError::ShuttingDown`] if the gateway is shutting down.
/// - [`FamilyError::Write`] if the write of the message fails.
pub async fn publish(
    gateway: &Gateway,
    principal: &Principal,
    id: Uuid,
    message: &Message,
) -> Result<PublishedMessage> {
    check_may_publish(gateway, principal, id).await?;
    let event = new_event("message", message)?;
    if event.data.len() > MAX_MESSAGE {
        let reason = format!("more than {MAX_MESSAGE} bytes as JSON");
        return Err(FamilyError::bad_input("the message", reason));
    }
    let events = gateway.hub.publish(topic(id), vec![event]).await?;
    let cursor = events.last().map(|event| event.cursor.to_string()).unwrap_or_default();
    Ok(PublishedMessage { cursor })
}

/// A caller may publish if it may see the session. If the session names no agent, every agent may publish.
async fn check_may_publish(gateway: &Gateway, principal: &Principal, id: Uuid) -> Result<()> {
    let error = match find_visible(gateway, principal, &topic(id)).await {
        // The client would take the message for one of its MCP server.
        Ok(Resource { parent: Some(_), .. }) => {
            return Err(FamilyError::conflict("the messages of this session come from its tunnel"));
        }
        Ok(_) => return Ok(()),
        Err(error) => error,
    };
    if principal.role < Role::Agent {
        return Err(error);
    }
    match McpSessionFamily.look_up(gateway, id).await? {
        Some(Resource { agent: None, parent: None, .. }) => Ok(()),
        _ => Err(error),
    }
}
