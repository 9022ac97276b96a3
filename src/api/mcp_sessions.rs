//! MCP sessions over HTTP.

use std::sync::Arc;

use poem::web::Data;
use poem_openapi::{
    ApiResponse, OpenApi,
    param::{Path, Query},
};
use uuid::Uuid;

use super::{
    caller::{Caller, Viewer},
    json::Json,
    problem::{ChangeResult, ReadResult, WriteResult},
    responses::{Created, NoContent},
    tag::Tag,
};
use crate::{
    family::{
        mcp_session::{self, McpSession, NewMcpSession, PublishedMessage},
        wire::{Message, Page},
    },
    gateway::Gateway,
};

#[derive(ApiResponse)]
enum Published {
    /// The message is committed to the event log.
    #[oai(status = 202)]
    Accepted(Json<PublishedMessage>),
}

/// The operations.
pub(super) struct McpSessionsApi;

#[OpenApi(prefix_path = "/v1/mcp-sessions", tag = "Tag::McpSession")]
impl McpSessionsApi {
    /// Create an MCP session
    ///
    /// The session belongs to the caller. Requires the role viewer. 404 if the request names an agent that does not
    /// exist or does not have the role agent.
    #[oai(path = "/", method = "post", operation_id = "mcp_session_create")]
    async fn create(
        &self,
        caller: Caller<Viewer>,
        gateway: Data<&Arc<Gateway>>,
        body: Json<NewMcpSession>,
    ) -> WriteResult<Created<McpSession>> {
        let session = mcp_session::create(&gateway, &caller.principal, body.0).await?;
        Ok(Created::Created(Json(session)))
    }

    /// List MCP sessions
    ///
    /// Returns the sessions that the caller owns or serves as agent, oldest first. An administrator gets all sessions.
    /// Requires the role viewer.
    #[oai(path = "/", method = "get", operation_id = "mcp_session_list")]
    async fn list(
        &self,
        caller: Caller<Viewer>,
        gateway: Data<&Arc<Gateway>>,
        /// Return only sessions after the one with this id: `next` of the previous page.
        after: Query<Option<Uuid>>,
        /// Maximum number of sessions to return. The default is 50.
        #[oai(validator(minimum(value = "1"), maximum(value = "200")))]
        limit: Query<Option<u64>>,
    ) -> ReadResult<Json<Page<McpSession>>> {
        let page = (after.0, limit.0);
        Ok(Json(mcp_session::list(&gateway, &caller.principal, page).await?))
    }

    /// Get an MCP session
    ///
    /// Only the session's owner, the agent that serves it and administrators may call this. Every other user gets 404.
    /// Requires the role viewer.
    #[oai(path = "/:id", method = "get", operation_id = "mcp_session_get")]
    async fn get(
        &self,
        caller: Caller<Viewer>,
        gateway: Data<&Arc<Gateway>>,
        /// MCP session id.
        id: Path<Uuid>,
    ) -> ReadResult<Json<McpSession>> {
        Ok(Json(mcp_session::get(&gateway, &caller.principal, id.0).await?))
    }

    /// Close an MCP session
    ///
    /// Ends the streams of the session. The session can still be read until its retention ends. A second close changes
    /// nothing. Only the session's owner and administrators may call this. Every other user gets 404. Requires the
    /// role viewer.
    #[oai(path = "/:id", method = "delete", operation_id = "mcp_session_delete")]
    async fn delete(
        &self,
        caller: Caller<Viewer>,
        gateway: Data<&Arc<Gateway>>,
        /// MCP session id.
        id: Path<Uuid>,
    ) -> WriteResult<NoContent> {
        mcp_session::close(&gateway, &caller.principal, id.0).await?;
        Ok(NoContent::NoContent)
    }

    /// Publish a message
    ///
    /// Sends one JSON-RPC message of at most 262,144 bytes, unchanged, to every stream of the session. The gateway
    /// responds after the commit to the event log.
    ///
    /// Only the session's owner, the agent that serves it and administrators may publish. If the session names no
    /// agent, every agent may publish. Requires the role viewer. 409 if the session is closed.
    #[oai(path = "/:id/messages", method = "post", operation_id = "mcp_session_publish")]
    async fn publish(
        &self,
        caller: Caller<Viewer>,
        gateway: Data<&Arc<Gateway>>,
        /// MCP session id.
        id: Path<Uuid>,
        body: Json<Message>,
    ) -> ChangeResult<Published> {
        let message = mcp_session::publish(&gateway, &caller.principal, id.0, &body.0).await?;
        Ok(Published::Accepted(Json(message)))
    }
}
