//! Creates an MCP session.

use entity::{mcp_session, user};
use sea_orm::{ActiveModelTrait, EntityTrait, IntoActiveModel};
use uuid::Uuid;

use super::{
    rows::{resource, topic},
    schema::{McpSession, NewMcpSession},
};
use crate::{
    auth::login_session::Principal,
    family::{FamilyError, Result, oauth},
    gateway::Gateway,
};

/// Creates an MCP session that belongs to the caller.
///
/// # Errors
/// [`FamilyError::NotFound`] if the request names an agent that does not exist, or a user without the role agent or
/// higher.
pub async fn create(
    gateway: &Gateway,
    principal: &Principal,
    new: NewMcpSession,
) -> Result<McpSession> {
    let requires = oauth::check_new(gateway, principal.user_id, new.requires).await?;
    let lookup = gateway.visibility.start_lookup();
    let tx = gateway.database.begin_write().await?;
    if let Some(agent) = new.agent {
        let agent = user::Entity::find_by_id(agent).one(&tx).await?;
        if agent.is_none_or(|agent| agent.role < user::Role::Agent) {
            return Err(FamilyError::NotFound);
        }
    }
    let row = mcp_session::Model {
        id: Uuid::now_v7(),
        owner_id: principal.user_id,
        agent_id: new.agent,
        name: new.name.map(|name| name.0),
        tunnel_id: None,
        client: None,
        requires,
        created_at: gateway.clock.now(),
        closed_at: None,
    };
    let row = row.into_active_model().insert(&tx).await?;
    gateway.hub.log().create(&tx, &topic(row.id)).await?;
    gateway.hub.commit(tx, Vec::new()).await?;
    gateway.visibility.insert(topic(row.id), resource(&row), lookup);
    Ok(row.into())
}
