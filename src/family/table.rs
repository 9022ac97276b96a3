//! The table of families.

use super::resource_family::ResourceFamily;
use crate::{
    api::{
        mcp_session::McpSessions, notification::Notifications, prompt::Prompts, task::Tasks,
        topology::Topologies,
    },
    event::Family,
};

/// The resources of a family.
#[must_use]
pub fn resource_family(family: Family) -> &'static dyn ResourceFamily {
    match family {
        Family::Topology => &Topologies,
        Family::Notification => &Notifications,
        Family::McpSession => &McpSessions,
        Family::Task => &Tasks,
        Family::Prompt => &Prompts,
    }
}
