//! The transport HTTP+SSE for old MCP clients (MCP 2024-11-05, Transports): a stream for all messages of the server, and
//! an address for those of the client.

use poem::Request;
use poem_openapi::{
    OpenApi,
    param::{Path, Query},
};
use serde_json::Value;
use uuid::Uuid;

use super::{
    body::McpBody,
    call::Call,
    forward::forward,
    post::{NoSession, connected, hold, wait},
    response::{McpResponse, Opened, Taken},
    sse::{Held, SessionEvents, endpoint_event, session_body},
};
use crate::{
    api::{
        caller::{Caller, Viewer},
        problem::{McpReadResult, McpResult, Problem},
        tag::Tag,
    },
    mcp::{Outcome, RpcError, SseConnection, connection, keep_subscribed, legacy},
    tunnel::message,
};

impl Call<'_> {
    async fn open_sse(self, tunnel: &str, name: Option<&str>) -> McpReadResult<Opened> {
        let access = self.access(tunnel, name).await?;
        let Self { gateway, caller, request, .. } = self;
        let principal = &caller.principal;
        let admitted = gateway.limits.admit(principal.user_id);
        let (slot, _) =
            admitted.map_err(|refused| Problem::refused(&refused, &gateway.telemetry))?;
        let watch = gateway.login_sessions.watch(principal).await?;
        connection(gateway, access.tunnel, wait(request.headers())).await?;
        let client = SseConnection::begin(gateway, principal, access.tunnel);
        let (live, _) = client.stream().attach();
        let endpoint = endpoint_event(gateway, request.uri().path(), client.id());
        let held = Held { watch, revocation: access.revocation, _slot: slot };
        let events = SessionEvents {
            name: None,
            ready: [endpoint].into(),
            past: None,
            between: None,
            live: Some(live),
            held,
            _client: Some(client),
        };
        Ok(Opened(McpResponse::Stream(session_body(gateway, events))))
    }

    async fn post_sse(
        self,
        tunnel: &str,
        name: Option<&str>,
        client: Uuid,
        body: McpBody,
    ) -> McpResult<Taken> {
        let access = self.access(tunnel, name).await?;
        let Self { gateway, caller, request, .. } = self;
        let message = match body.0 {
            Ok(message) => message,
            Err(error) => return Ok(Taken(McpResponse::refusal(error, Value::Null))),
        };
        let id = message.get("id").cloned().unwrap_or_default();
        let user = caller.principal.user_id;
        let Some(client) = gateway.tunnels.sessions.find_sse(client, (access.tunnel, user)) else {
            return Ok(Taken(NoSession::Unknown.into_response(id)));
        };
        let (connection, server, access) =
            connected(gateway, self.requester(&access), request.headers()).await?;
        let requester = self.requester(&access);
        if message::method(&message) == Some("initialize") {
            if client.session().is_some() {
                let error = RpcError::new(RpcError::INVALID_REQUEST, "initialize came already");
                return Ok(Taken(McpResponse::refusal(error, id)));
            }
            let begun = legacy::initialize(gateway, requester, &server, message, Some(&client));
            let (session, answer) = begun.await?;
            session.send(&client.stream, &answer);
            return Ok(Taken(McpResponse::Accepted));
        }
        let Some(session) = client.session() else {
            let error = RpcError::new(RpcError::INVALID_REQUEST, "send initialize first");
            return Ok(Taken(McpResponse::refusal(error, id)));
        };
        keep_subscribed(gateway, &session, &connection, &server);
        let to = (&connection, &*server);
        match legacy::receive(gateway, requester, &session, to, message) {
            Outcome::Accepted => {}
            Outcome::Answered(answer) => session.send(&client.stream, &answer),
            Outcome::Running(running) => {
                let held = hold(gateway, requester).await?;
                gateway.spawn(async move {
                    forward(&session, &client.stream, running, None).await;
                    drop(held);
                });
            }
        }
        Ok(Taken(McpResponse::Accepted))
    }
}

/// The operations.
pub(in crate::api) struct HttpSseApi;

#[OpenApi(prefix_path = "/mcp", tag = "Tag::Tunnel")]
impl HttpSseApi {
    /// Open the stream of an old MCP client
    ///
    /// The transport HTTP+SSE of the version 2024-11-05, for clients that know no other. The first event, `endpoint`, has
    /// the path for the messages of the client. Every message of the MCP server is a `message` event. The stream cannot be
    /// resumed: when it ends, the session has ended. It holds a slot of the user. 503 if the tunnel client is away.
    ///
    /// Only the owner of the tunnel and the users that it is shared with may call this. Every other user gets 404. Requires
    /// the role viewer.
    #[oai(path = "/:tunnel/sse", method = "get", operation_id = "mcp_open_sse", deprecated)]
    async fn open(
        &self,
        caller: Caller<Viewer>,
        request: &Request,
        /// Tunnel id.
        tunnel: Path<Uuid>,
    ) -> McpReadResult<Opened> {
        Call::new(&caller, request).open_sse(&tunnel.to_string(), None).await
    }

    /// Send a message of an old MCP client
    ///
    /// The answer comes on the stream of the client. Only the user of the stream may call this. Every other user gets 404.
    /// Requires the role viewer.
    #[oai(path = "/:tunnel/messages", method = "post", operation_id = "mcp_post_sse", deprecated)]
    async fn post(
        &self,
        caller: Caller<Viewer>,
        request: &Request,
        /// Tunnel id.
        tunnel: Path<Uuid>,
        /// Id of the stream, from its first event.
        session_id: Query<Uuid>,
        body: McpBody,
    ) -> McpResult<Taken> {
        let call = Call::new(&caller, request);
        call.post_sse(&tunnel.to_string(), None, session_id.0, body).await
    }

    /// Open the stream of an old MCP client of a named tunnel
    ///
    /// The same as at the id of the tunnel, under a name that stays the same. Requires the role viewer.
    #[oai(
        path = "/:tunnel/:name/sse",
        method = "get",
        operation_id = "mcp_open_sse_named",
        deprecated
    )]
    async fn open_named(
        &self,
        caller: Caller<Viewer>,
        request: &Request,
        /// User name of the owner, after an `@`.
        tunnel: Path<String>,
        /// Name of the tunnel.
        name: Path<String>,
    ) -> McpReadResult<Opened> {
        Call::new(&caller, request).open_sse(&tunnel, Some(&name)).await
    }

    /// Send a message of an old MCP client to a named tunnel
    ///
    /// The same as at the id of the tunnel, under a name that stays the same. Requires the role viewer.
    #[oai(
        path = "/:tunnel/:name/messages",
        method = "post",
        operation_id = "mcp_post_sse_named",
        deprecated
    )]
    async fn post_named(
        &self,
        caller: Caller<Viewer>,
        request: &Request,
        /// User name of the owner, after an `@`.
        tunnel: Path<String>,
        /// Name of the tunnel.
        name: Path<String>,
        /// Id of the stream, from its first event.
        session_id: Query<Uuid>,
        body: McpBody,
    ) -> McpResult<Taken> {
        let call = Call::new(&caller, request);
        call.post_sse(&tunnel, Some(&name), session_id.0, body).await
    }
}
