//! Reads one MCP session.

use entity::mcp_session;
use sea_orm::EntityTrait;
use uuid::Uuid;

use super::{rows::topic, schema::McpSession};
use crate::{
    auth::login_session::Principal,
    family::{FamilyError, Result, find_visible},
    gateway::Gateway,
};

/// An MCP session that the caller may see.
///
/// # Errors
/// [`FamilyError::NotFound`] if the session does not exist or is not visible to the caller.
pub async fn get(gateway: &Gateway, principal: &Principal, id: Uuid) -> Result<McpSession> {
    find_visible(gateway, principal, &topic(id)).await?;
    let row = mcp_session::Entity::find_by_id(id).one(gateway.database.reader()).await?;
    Ok(row.ok_or(FamilyError::NotFound)?.into())
}
