//! Lists MCP sessions.

use entity::{mcp_session, user::Role};
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;

use super::schema::McpSession;
use crate::{
    auth::login_session::Principal,
    family::{
        Result,
        wire::{Page, page_limit},
    },
    gateway::Gateway,
};

/// A page of the MCP sessions that the caller owns or serves, oldest first. An administrator gets the MCP sessions of
/// all users.
pub async fn list(
    gateway: &Gateway,
    principal: &Principal,
    (after, limit): (Option<Uuid>, Option<u64>),
) -> Result<Page<McpSession>> {
    let limit = page_limit(limit);
    let mut query = mcp_session::Entity::find()
        .filter(mcp_session::Column::Id.gt(after.unwrap_or(Uuid::nil())))
        .order_by_asc(mcp_session::Column::Id)
        .limit(limit + 1);
    let Principal { user_id, role, .. } = *principal;
    if role < Role::Admin {
        let mut visible = Condition::any().add(mcp_session::Column::OwnerId.eq(user_id));
        if role >= Role::Agent {
            visible = visible.add(mcp_session::Column::AgentId.eq(user_id));
        }
        query = query.filter(visible);
    }
    let rows = query.all(gateway.database.reader()).await?;
    Ok(Page::new(rows, limit, |row| (row.id, 0)))
}
