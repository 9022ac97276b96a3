//! The topic of an MCP session, and who may see the session.

use entity::mcp_session;
use uuid::Uuid;

use crate::{
    event::{Family, Topic},
    visibility::Resource,
};

/// The topic of an MCP session.
#[must_use]
pub fn topic(id: Uuid) -> Topic {
    Topic::new(Family::McpSession, id)
}

/// A session is visible to its owner and to the agent that serves it.
pub(super) fn resource(row: &mcp_session::Model) -> Resource {
    Resource {
        agent: row.agent_id,
        needs_grant: row.requires.is_some(),
        parent: row.tunnel_id,
        ..Resource::owned_by(row.owner_id)
    }
}
