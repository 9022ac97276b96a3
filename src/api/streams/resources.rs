//! The two operations that every watchable resource has: its stream, and the pages of its events.
//!
//! They differ between the families only in the path and the texts, so a macro writes them. Prompts have a path with
//! two ids, so `prompts/owner.rs` has their two operations.

use std::sync::Arc;

use poem::web::Data;
use poem_openapi::{
    OpenApi,
    param::{Path, Query},
};
use uuid::Uuid;

use super::{
    event_page::{Events, events},
    open::open_topic,
    parameters::Parameters,
    response::StreamResponse,
};
use crate::{
    api::{
        caller::{Caller, StreamCaller, Viewer},
        problem::{ReadResult, WriteResult},
        tag::Tag,
    },
    family::{mcp_session, notification, task, topology, tunnel},
    gateway::Gateway,
};

macro_rules! stream_operations {
    (
        $(#[$doc:meta])*
        $api:ident, tag $tag:literal, topic $topic:path, id $id:literal,
        $(#[$stream_doc:meta])*
        stream $stream_path:literal as $stream_id:literal,
        $(#[$events_doc:meta])*
        events $events_path:literal as $events_id:literal $(,)?
    ) => {
        $(#[$doc])*
        pub(in crate::api) struct $api;

        #[OpenApi(tag = $tag)]
        impl $api {
            $(#[$stream_doc])*
            #[oai(path = $stream_path, method = "get", operation_id = $stream_id)]
            async fn stream(
                &self,
                caller: StreamCaller<Viewer>,
                gateway: Data<&Arc<Gateway>>,
                #[doc = $id]
                id: Path<Uuid>,
                parameters: Parameters,
            ) -> WriteResult<StreamResponse> {
                open_topic(&gateway, caller, $topic(id.0), parameters).await
            }

            $(#[$events_doc])*
            #[oai(path = $events_path, method = "get", operation_id = $events_id)]
            async fn list_events(
                &self,
                caller: Caller<Viewer>,
                gateway: Data<&Arc<Gateway>>,
                #[doc = $id]
                id: Path<Uuid>,
                /// Return only events after this cursor. Without it, the page starts with the oldest event.
                after: Query<Option<String>>,
                /// Maximum number of events to return. The default is 50.
                #[oai(validator(minimum(value = "1"), maximum(value = "200")))]
                limit: Query<Option<u64>>,
            ) -> ReadResult<Events> {
                events(&gateway, &caller.principal, &$topic(id.0), after.0, limit.0).await
            }
        }
    };
}

stream_operations! {
    /// The stream and the events of a topology.
    TopologyStreamsApi, tag "Tag::Topology", topic topology::topic, id "Topology id.",

    /// Stream a topology
    ///
    /// Sends server-sent events: a `snapshot`, then `status` and `mutation.*` events. Each of these events has an `id`,
    /// the cursor to resume after. The stream ends after the status `torn_down`. Requires the role viewer.
    stream "/v1/topologies/:id/stream" as "topology_stream",

    /// List topology events
    ///
    /// Returns the events of the stream in pages, for clients that cannot stream. Requires the role viewer.
    events "/v1/topologies/:id/events" as "topology_list_events",
}

stream_operations! {
    /// The stream and the events of a task.
    TaskStreamsApi, tag "Tag::Task", topic task::topic, id "Task id.",

    /// Stream a task
    ///
    /// Sends server-sent events: a `snapshot` of the task with its artifacts, then `task.status` and `task.artifact`
    /// events. Each of these events has an `id`, the cursor to resume after. The artifacts of earlier attempts remain
    /// unless a new attempt replaces them. The stream ends when the task ends. Requires the role viewer. 404 for tasks
    /// of other users, unless the caller is an administrator.
    stream "/v1/tasks/:id/stream" as "task_stream",

    /// List task events
    ///
    /// Returns the events of the stream in pages, for clients that cannot stream. Requires the role viewer. 404 for
    /// tasks of other users, unless the caller is an administrator.
    events "/v1/tasks/:id/events" as "task_list_events",
}

stream_operations! {
    /// The stream and the events of a user's notifications.
    NotificationStreamsApi, tag "Tag::Notification", topic notification::topic, id "User id.",

    /// Stream notifications
    ///
    /// Sends server-sent events: a `snapshot`, then `notification` and `notification.*` events. Each of these events
    /// has an `id`, the cursor to resume after. Requires the role viewer. 403 for notifications of another user.
    stream "/v1/users/:id/notifications/stream" as "notification_stream",

    /// List notification events
    ///
    /// Returns the events of the stream in pages, for clients that cannot stream. Requires the role viewer. 403 for
    /// notifications of another user.
    events "/v1/users/:id/notifications/events" as "notification_list_events",
}

stream_operations! {
    /// The stream and the events of an MCP session.
    McpSessionStreamsApi, tag "Tag::McpSession", topic mcp_session::topic, id "MCP session id.",

    /// Stream an MCP session
    ///
    /// Sends server-sent events: a `snapshot`, then `message` events. Each of these events has an `id`, the cursor to
    /// resume after. The stream ends when the session is closed. Only the session's owner, the agent that serves it and
    /// administrators may call this. Every other user gets 404. Requires the role viewer.
    stream "/v1/mcp-sessions/:id/stream" as "mcp_session_stream",

    /// List MCP session events
    ///
    /// Returns the events of the stream in pages, for clients that cannot stream. Only the session's owner, the agent
    /// that serves it and administrators may call this. Every other user gets 404. Requires the role viewer.
    events "/v1/mcp-sessions/:id/events" as "mcp_session_list_events",
}

stream_operations! {
    /// The stream and the events of a tunnel.
    TunnelStreamsApi, tag "Tag::Tunnel", topic tunnel::topic, id "Tunnel id.",

    /// Stream a tunnel
    ///
    /// Sends server-sent events: a `snapshot`, then `tunnel.*` events and `message` events. A message is the answer to a
    /// request that was sent with `wait=false`, or a notification of the MCP server that belongs to no request. Each of
    /// these events has an `id`, the cursor to resume after. The stream ends when the tunnel is deleted. Only the owner
    /// of the tunnel and administrators may call this. Every other user gets 404. Requires the role viewer.
    stream "/reverse-proxy/sse/:id" as "tunnel_stream",

    /// List tunnel events
    ///
    /// Returns the events of the stream in pages, for clients that cannot stream. Only the owner of the tunnel and
    /// administrators may call this. Every other user gets 404. Requires the role viewer.
    events "/reverse-proxy/sessions/:id/events" as "tunnel_list_events",
}
