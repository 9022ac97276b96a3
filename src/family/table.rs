//! The table of families.

use super::{
    mcp_session::McpSessionFamily, notification::NotificationFamily, prompt::PromptFamily,
    resource_family::ResourceFamily, task::TaskFamily, topology::TopologyFamily,
    tunnel::TunnelFamily,
};
use crate::event::Family;

/// The resources of a family.
#[must_use]
pub fn resource_family(family: Family) -> &'static dyn ResourceFamily {
    match family {
        Family::Topology => &TopologyFamily,
        Family::Notification => &NotificationFamily,
        Family::McpSession => &McpSessionFamily,
        Family::Task => &TaskFamily,
        Family::Prompt => &PromptFamily,
        Family::Tunnel => &TunnelFamily,
    }
}
