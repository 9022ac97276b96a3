//! The table of families.

use super::{
    mcp_session::McpSessionFamily, notification::NotificationFamily,
    resource_family::ResourceFamily, topology::TopologyFamily,
};
use crate::{
    api::{prompt::Prompts, task::Tasks},
    event::Family,
};

/// The resources of a family.
#[must_use]
pub fn resource_family(family: Family) -> &'static dyn ResourceFamily {
    match family {
        Family::Topology => &TopologyFamily,
        Family::Notification => &NotificationFamily,
        Family::McpSession => &McpSessionFamily,
        Family::Task => &Tasks,
        Family::Prompt => &Prompts,
    }
}
