//! The operation and the path that stream one resource of a family.

use uuid::Uuid;

use crate::{
    event::{Family, Topic},
    visibility::Resource,
};

/// The `operationId` of the family's stream.
pub(in crate::api) fn stream_operation(family: Family) -> &'static str {
    match family {
        Family::Topology => "topology_stream",
        Family::Notification => "notification_stream",
        Family::McpSession => "mcp_session_stream",
        Family::Task => "task_stream",
        Family::Prompt => "prompt_stream",
        Family::Tunnel => "tunnel_stream",
    }
}

/// The path of the stream of a resource.
pub(in crate::api) fn stream_path(topic: &Topic, resource: Resource) -> String {
    let id = topic.id();
    match topic.family() {
        Family::Topology => format!("/v1/topologies/{id}/stream"),
        Family::Notification => format!("/v1/users/{id}/notifications/stream"),
        Family::McpSession => format!("/v1/mcp-sessions/{id}/stream"),
        Family::Task => format!("/v1/tasks/{id}/stream"),
        Family::Tunnel => format!("/reverse-proxy/sse/{id}"),
        Family::Prompt => {
            let session: Uuid = resource.parent.unwrap_or_default();
            format!("/v1/sessions/{session}/prompts/{id}/stream")
        }
    }
}

/// The family whose resources have this path. `None` for an operation that belongs to no family or to several.
pub(in crate::api) fn family_of_path(path: &str) -> Option<Family> {
    let mut segments = path.strip_prefix("/v1").unwrap_or(path).strip_prefix('/')?.split('/');
    match (segments.next()?, segments.nth(1)) {
        ("topologies", _) => Some(Family::Topology),
        ("tasks", _) => Some(Family::Task),
        ("sessions" | "prompts", _) => Some(Family::Prompt),
        ("mcp-sessions", _) => Some(Family::McpSession),
        ("reverse-proxy" | "mcp", _) => Some(Family::Tunnel),
        ("users", Some("notifications")) => Some(Family::Notification),
        _ => None,
    }
}
