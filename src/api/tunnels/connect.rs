//! The WebSocket that tunnel clients connect to. Three paths, because the client of `mcpgateway` uses each of them.

use std::sync::Arc;

use poem::{
    FromRequest, IntoResponse, Request,
    web::{
        Data,
        websocket::{WebSocket, WebSocketConfig},
    },
};
use poem_openapi::{OpenApi, param::Header};

use super::{socket::serve, upgraded::SwitchingProtocols};
use crate::{
    api::{
        caller::{Caller, Viewer},
        middleware::{RequestInfo, RequestOrigin},
        problem::{Kind, Problem, ReadResult},
        tag::Tag,
    },
    family::tunnel::{self, NewClient},
    gateway::Gateway,
    tunnel::READ_BUFFER_BYTES,
};

/// The operations.
pub(in crate::api) struct ConnectApi;

/// Declares the operation at each path. They differ only in the path.
macro_rules! connect_operations {
    ($($name:ident at $path:literal as $id:literal, $summary:literal);+ $(;)?) => {
        #[OpenApi(tag = "Tag::Tunnel")]
        impl ConnectApi {
            $(
                #[doc = $summary]
                ///
                /// Opens the WebSocket of a tunnel client, which carries the messages of one MCP server. The client
                /// authenticates with an API key, which lives as long as it must. A client that connects again gets
                /// the tunnel that it had before, with its id and name. `docs/tunnel.md` has the frames. Requires the role
                /// viewer.
                ///
                /// 400 for a request that is not a WebSocket handshake. 403 for a page of another origin, and for a
                /// client whose tunnel was deleted.
                #[oai(path = $path, method = "get", operation_id = $id)]
                async fn $name(
                    &self,
                    caller: Caller<Viewer>,
                    gateway: Data<&Arc<Gateway>>,
                    info: Data<&RequestInfo>,
                    request: &Request,
                    /// Name of the tunnel: 1 to 64 of the characters a-z, A-Z, 0-9, `-`, `_`, `.` and `~`. Without it,
                    /// the name of the API key.
                    #[oai(name = "X-Tunnel-Name")]
                    name: Header<Option<String>>,
                    /// Text that identifies the process of the client, 1 to 64 printable characters. A process that
                    /// connects again gets its tunnel even if the gateway has not noticed yet that it was away.
                    #[oai(name = "X-Session-ID")]
                    instance: Header<Option<String>>,
                ) -> ReadResult<SwitchingProtocols> {
                    let new = NewClient { name: name.0, instance: instance.0, address: info.address };
                    connect(&gateway, &caller, &info, request, new).await
                }
            )+
        }
    };
}

connect_operations! {
    connect at "/reverse-proxy/ws" as "tunnel_connect", "Connect a tunnel";
    connect_short at "/reverse-proxy" as "tunnel_connect_short", "Connect a tunnel at the short path";
    connect_v1 at "/v1/reverse-proxy/ws" as "tunnel_connect_v1", "Connect a tunnel at the path with a version";
}

async fn connect(
    gateway: &Arc<Gateway>,
    caller: &Caller<Viewer>,
    info: &RequestInfo,
    request: &Request,
    new: NewClient,
) -> ReadResult<SwitchingProtocols> {
    // A browser sends cookies whatever page opens the WebSocket, and no CORS protects it.
    if info.origin == RequestOrigin::Other {
        let detail = "a page of this origin may not open a tunnel: see server.allowed_origins";
        return Err(Problem::new(Kind::Forbidden, detail).into());
    }
    let websocket = WebSocket::from_request_without_body(request).await.map_err(|_| {
        Problem::bad_request("this operation needs a WebSocket handshake (RFC 6455) over HTTP/1.1")
    })?;
    let client = tunnel::admit(gateway, &caller.principal, new).await?;
    let limit = gateway.config.tunnels.message_limit_bytes;
    let config = WebSocketConfig::default()
        .max_message_size(Some(limit))
        .max_frame_size(Some(limit))
        .read_buffer_size(READ_BUFFER_BYTES);
    // The permit counts the connection as long as the WebSocket is open.
    let held = info.client_connection.clone();
    let gateway = Arc::clone(gateway);
    let upgraded = websocket.config(config).on_upgrade(move |socket| async move {
        let task = serve(Arc::clone(&gateway), socket, client, held);
        gateway.spawn(task);
    });
    Ok(SwitchingProtocols(upgraded.into_response()))
}
