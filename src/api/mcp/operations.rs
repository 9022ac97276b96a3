//! The operations of the MCP endpoint, each at two paths: the id of the tunnel, and its owner and name.

use poem::Request;
use poem_openapi::{OpenApi, param::Path};
use uuid::Uuid;

use super::{
    body::McpBody,
    call::Call,
    post::{Post, find_session},
    response::{Answered, EndedSession, McpResponse, Opened},
    stream::open,
};
use crate::{
    api::{
        caller::{Caller, Viewer},
        problem::{McpReadResult, McpResult},
        tag::Tag,
    },
    family::mcp_session,
};

impl Call<'_> {
    async fn post(self, tunnel: &str, name: Option<&str>, body: McpBody) -> McpResult<Answered> {
        let access = self.access(tunnel, name).await?;
        let Self { gateway, info, request, .. } = self;
        let post = Post { gateway, requester: self.requester(&access), info, request };
        Ok(Answered(post.receive(body.0).await?))
    }

    async fn open(self, tunnel: &str, name: Option<&str>) -> McpReadResult<Opened> {
        let access = self.access(tunnel, name).await?;
        let requester = self.requester(&access);
        Ok(Opened(open(self.gateway, requester, self.request.headers()).await?))
    }

    async fn end(self, tunnel: &str, name: Option<&str>) -> McpResult<EndedSession> {
        let access = self.access(tunnel, name).await?;
        let (gateway, principal) = (self.gateway, &self.caller.principal);
        let headers = self.request.headers();
        match find_session(gateway, self.requester(&access), headers).await? {
            Ok(session) => {
                mcp_session::close(gateway, principal, session.id).await?;
                Ok(EndedSession(McpResponse::Ended))
            }
            Err(refusal) => Ok(EndedSession(refusal.into_response(serde_json::Value::Null))),
        }
    }
}

/// The operations.
pub(in crate::api) struct McpApi;

#[OpenApi(prefix_path = "/mcp", tag = "Tag::Tunnel")]
impl McpApi {
    /// Send a message to the MCP server of a tunnel
    ///
    /// The MCP endpoint of a tunnel, for any MCP client: Streamable HTTP of the versions 2026-07-28 and 2025-11-25, and
    /// of the versions before. The client and the MCP server can be of different versions. The response is JSON, or
    /// server-sent events that end with the answer. The errors 401, 403, 404 and 429 before the MCP layer are problem
    /// documents. Behind it, errors are JSON-RPC.
    ///
    /// 503 if the tunnel client is away. With `Prefer: wait=10` the request waits up to 10 seconds for it, at most 60.
    /// Only the owner of the tunnel and the users that it is shared with may call this. Every other user gets 404. Requires
    /// the role viewer.
    #[oai(path = "/:tunnel", method = "post", operation_id = "mcp_post")]
    async fn post(
        &self,
        caller: Caller<Viewer>,
        request: &Request,
        /// Tunnel id.
        tunnel: Path<Uuid>,
        body: McpBody,
    ) -> McpResult<Answered> {
        let call = Call::new(&caller, request);
        call.post(&tunnel.to_string(), None, body).await
    }

    /// Open the stream of an MCP session
    ///
    /// Sends the messages of the MCP server that belong to no request, as server-sent events, for a client of the
    /// version 2025-11-25 or before. With `Last-Event-ID`, resumes the stream of this event. 405 for a client of the
    /// version 2026-07-28, which has no such stream. Only the user of the session may call this. Every other user gets
    /// 404. Requires the role viewer.
    #[oai(path = "/:tunnel", method = "get", operation_id = "mcp_open")]
    async fn open(
        &self,
        caller: Caller<Viewer>,
        request: &Request,
        /// Tunnel id.
        tunnel: Path<Uuid>,
    ) -> McpReadResult<Opened> {
        let call = Call::new(&caller, request);
        call.open(&tunnel.to_string(), None).await
    }

    /// End an MCP session
    ///
    /// Ends the session in the header `Mcp-Session-Id`, and its streams. Only the user of the session may call this.
    /// Every other user gets 404. Requires the role viewer.
    #[oai(path = "/:tunnel", method = "delete", operation_id = "mcp_end")]
    async fn end(
        &self,
        caller: Caller<Viewer>,
        request: &Request,
        /// Tunnel id.
        tunnel: Path<Uuid>,
    ) -> McpResult<EndedSession> {
        let call = Call::new(&caller, request);
        call.end(&tunnel.to_string(), None).await
    }

    /// Send a message to the MCP server of a named tunnel
    ///
    /// The same as at the id of the tunnel, under a name that stays the same. Requires the role viewer.
    #[oai(path = "/:tunnel/:name", method = "post", operation_id = "mcp_post_named")]
    async fn post_named(
        &self,
        caller: Caller<Viewer>,
        request: &Request,
        /// User name of the owner, after an `@`.
        tunnel: Path<String>,
        /// Name of the tunnel.
        name: Path<String>,
        body: McpBody,
    ) -> McpResult<Answered> {
        let call = Call::new(&caller, request);
        call.post(&tunnel, Some(&name), body).await
    }

    /// Open the stream of an MCP session of a named tunnel
    ///
    /// The same as at the id of the tunnel, under a name that stays the same. Requires the role viewer.
    #[oai(path = "/:tunnel/:name", method = "get", operation_id = "mcp_open_named")]
    async fn open_named(
        &self,
        caller: Caller<Viewer>,
        request: &Request,
        /// User name of the owner, after an `@`.
        tunnel: Path<String>,
        /// Name of the tunnel.
        name: Path<String>,
    ) -> McpReadResult<Opened> {
        let call = Call::new(&caller, request);
        call.open(&tunnel, Some(&name)).await
    }

    /// End an MCP session of a named tunnel
    ///
    /// The same as at the id of the tunnel, under a name that stays the same. Requires the role viewer.
    #[oai(path = "/:tunnel/:name", method = "delete", operation_id = "mcp_end_named")]
    async fn end_named(
        &self,
        caller: Caller<Viewer>,
        request: &Request,
        /// User name of the owner, after an `@`.
        tunnel: Path<String>,
        /// Name of the tunnel.
        name: Path<String>,
    ) -> McpResult<EndedSession> {
        let call = Call::new(&caller, request);
        call.end(&tunnel, Some(&name)).await
    }
}
