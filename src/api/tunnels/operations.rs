//! The operations of the users of tunnels.

use std::{sync::Arc, time::Duration};

use poem::web::Data;
use poem_openapi::{
    ApiResponse, OpenApi,
    param::{Path, Query},
};
use uuid::Uuid;

use crate::{
    api::{
        caller::{Caller, Viewer},
        json::Json,
        middleware::RequestInfo,
        problem::{CallResult, ReadResult, WriteResult},
        responses::NoContent,
        tag::Tag,
    },
    family::{
        tunnel::{self, BlockedTunnelClient, Requested, Tunnel},
        wire::{Message, Page},
    },
    gateway::Gateway,
    tunnel::CallError,
};

#[derive(ApiResponse)]
enum Sent {
    /// The answer of the MCP server: a JSON-RPC response with `result` or `error`.
    #[oai(status = 200)]
    Answered(Json<Message>),
    /// The message was sent. The answer to a request is a `message` event on the stream of the tunnel.
    #[oai(status = 202)]
    Accepted,
}

/// The operations.
pub(in crate::api) struct TunnelsApi;

#[OpenApi(prefix_path = "/reverse-proxy", tag = "Tag::Tunnel")]
impl TunnelsApi {
    /// List tunnels
    ///
    /// Returns the tunnels of the caller, oldest first, also those whose client is away. An administrator gets the
    /// tunnels of all users. Requires the role viewer.
    #[oai(path = "/sessions", method = "get", operation_id = "tunnel_list")]
    async fn list(
        &self,
        caller: Caller<Viewer>,
        gateway: Data<&Arc<Gateway>>,
        /// Return only tunnels after the one with this id: `next` of the previous page.
        after: Query<Option<Uuid>>,
        /// Maximum number of tunnels to return. The default is 50.
        #[oai(validator(minimum(value = "1"), maximum(value = "200")))]
        limit: Query<Option<u64>>,
    ) -> ReadResult<Json<Page<Tunnel>>> {
        let page = (after.0, limit.0);
        Ok(Json(tunnel::list(&gateway, &caller.principal, page).await?))
    }

    /// Get a tunnel
    ///
    /// Only the owner of the tunnel and administrators may call this. Every other user gets 404. Requires the role
    /// viewer.
    #[oai(path = "/sessions/:id", method = "get", operation_id = "tunnel_get")]
    async fn get(
        &self,
        caller: Caller<Viewer>,
        gateway: Data<&Arc<Gateway>>,
        /// Tunnel id.
        id: Path<Uuid>,
    ) -> ReadResult<Json<Tunnel>> {
        Ok(Json(tunnel::get(&gateway, &caller.principal, id.0).await?))
    }

    /// Delete a tunnel
    ///
    /// Disconnects the client, ends the streams of the tunnel, and keeps the client out. It gets 403 until its entry in
    /// the list of blocked clients is deleted. A client is known by its user, its API key and
    /// the name that it asks for. Only the owner of the tunnel and administrators may call this. Every other user gets
    /// 404. Requires the role viewer.
    #[oai(path = "/sessions/:id", method = "delete", operation_id = "tunnel_delete")]
    async fn delete(
        &self,
        caller: Caller<Viewer>,
        gateway: Data<&Arc<Gateway>>,
        /// Tunnel id.
        id: Path<Uuid>,
    ) -> WriteResult<NoContent> {
        tunnel::delete(&gateway, &caller.principal, id.0).await?;
        Ok(NoContent::NoContent)
    }

    /// Send a message to an MCP server
    ///
    /// Sends one JSON-RPC request or notification through the tunnel. The response to a request is the answer of the
    /// MCP server, whether a result or an error. With `wait=false` the answer comes on the stream of the tunnel, and
    /// this responds at once. Ids are those of the caller: the gateway replaces them on the way.
    ///
    /// Only the owner of the tunnel may call this. An administrator gets 403, and every other user gets 404. Requires
    /// the role viewer.
    ///
    /// The status is 413 if the message has more than 1,000,000 bytes as a frame. It is 503 if the client is away, or if
    /// too much is waiting. It is 504 if the MCP server sends nothing for the request in `tunnels.request_seconds` of
    /// the configuration. If the caller disconnects, the request is cancelled.
    #[oai(path = "/sessions/:id/request", method = "post", operation_id = "tunnel_request")]
    async fn request(
        &self,
        caller: Caller<Viewer>,
        gateway: Data<&Arc<Gateway>>,
        info: Data<&RequestInfo>,
        /// Tunnel id.
        id: Path<Uuid>,
        /// Whether to wait for the answer to a request. The default is true.
        wait: Query<Option<bool>>,
        body: Json<Message>,
    ) -> CallResult<Sent> {
        let wait = wait.0.unwrap_or(true);
        let from = (&caller.principal, info.address);
        let request = tunnel::request(&gateway, from, id.0, body.0, wait);
        let sent = tokio::select! {
            sent = request => sent?,
            // Any wait counts a client that has closed its sending side as gone.
            () = info.client_gone(Duration::from_secs(1)) => {
                return Err(CallError::Cancelled.into());
            }
        };
        Ok(match sent {
            Requested::Answered(answer) => Sent::Answered(Json(answer)),
            Requested::Accepted => Sent::Accepted,
        })
    }

    /// List blocked tunnel clients
    ///
    /// Returns the clients that may not connect because their tunnel was deleted, oldest first: those of the caller, or
    /// for an administrator those of all users. Requires the role viewer.
    #[oai(path = "/blocked-clients", method = "get", operation_id = "blocked_tunnel_client_list")]
    async fn list_blocked(
        &self,
        caller: Caller<Viewer>,
        gateway: Data<&Arc<Gateway>>,
        /// Return only entries after the one with this id: `next` of the previous page.
        after: Query<Option<Uuid>>,
        /// Maximum number of entries to return. The default is 50.
        #[oai(validator(minimum(value = "1"), maximum(value = "200")))]
        limit: Query<Option<u64>>,
    ) -> ReadResult<Json<Page<BlockedTunnelClient>>> {
        let page = (after.0, limit.0);
        Ok(Json(tunnel::list_blocked(&gateway, &caller.principal, page).await?))
    }

    /// Unblock a tunnel client
    ///
    /// Lets the client connect again. It gets a new tunnel. Only the user of the client and administrators may call
    /// this. Every other user gets 404. Requires the role viewer.
    #[oai(
        path = "/blocked-clients/:id",
        method = "delete",
        operation_id = "blocked_tunnel_client_delete"
    )]
    async fn unblock(
        &self,
        caller: Caller<Viewer>,
        gateway: Data<&Arc<Gateway>>,
        /// Id of the entry.
        id: Path<Uuid>,
    ) -> WriteResult<NoContent> {
        tunnel::unblock(&gateway, &caller.principal, id.0).await?;
        Ok(NoContent::NoContent)
    }
}
