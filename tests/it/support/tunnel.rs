//! A tunnel client with an MCP server, played by the test.

use futures_util::{SinkExt, StreamExt};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Error, Message, client::IntoClientRequest, http::HeaderValue},
};
use uuid::Uuid;

use crate::support::{
    caller::{Caller, id_of},
    waiting::{soon, until},
};

/// A connected tunnel client.
pub struct TunnelClient {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// Id of the tunnel, from the first frame of the gateway.
    pub id: Uuid,
}

impl TunnelClient {
    /// Opens the WebSocket. Returns the status if the gateway refuses it.
    pub async fn open(
        caller: &Caller,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, StatusCode> {
        let url = format!("ws://{}{path}", caller.address);
        let mut request = url.into_client_request().expect("a request");
        let token = caller.token.as_ref().map(|token| ("authorization", format!("Bearer {token}")));
        let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned()));
        for (name, value) in token.into_iter().chain(headers) {
            request.headers_mut().insert(name, HeaderValue::from_str(&value).expect("a value"));
        }
        match soon("answer", Box::pin(connect_async(request))).await {
            Ok((socket, _)) => Ok(Self { socket, id: Uuid::nil() }),
            Err(Error::Http(refused)) => {
                Err(StatusCode::from_u16(refused.status().as_u16()).expect("a status"))
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// Connects a client with this name, and registers it.
    pub async fn register(caller: &Caller, name: &str) -> Self {
        Self::register_with(caller, &[("x-tunnel-name", name)]).await
    }

    /// Connects a client with these headers, and registers it.
    pub async fn register_with(caller: &Caller, headers: &[(&'static str, &str)]) -> Self {
        let mut client = Self::open(caller, "/reverse-proxy/ws", headers).await.expect("accepted");
        // The client of `mcpgateway` sends frames before it registers.
        client.send("response", json!({ "jsonrpc": "2.0", "id": "init-1", "result": {} })).await;
        let server =
            json!({ "name": "reverse-proxy-1", "description": "a test", "protocol": "stdio" });
        client.frame(json!({ "type": "register", "sessionId": "mine", "server": server })).await;
        for kind in ["register_ack", "register_complete"] {
            let accepted = client.read().await;
            assert_eq!((&accepted["type"], &accepted["status"]), (&json!(kind), &json!("success")));
            client.id = accepted["sessionId"].as_str().expect("an id").parse().expect("a UUID");
        }
        client
    }

    /// Connects a client with a server of the legacy era, and completes the handshake.
    pub async fn legacy(caller: &Caller, name: &str) -> Self {
        let mut client = Self::register(caller, name).await;
        client.initialize().await;
        client.listed(caller).await;
        client
    }

    /// Connects a client with a server of the modern era, and completes the handshake.
    pub async fn modern(caller: &Caller, name: &str) -> Self {
        let mut client = Self::register(caller, name).await;
        let discover = client.request("server/discover").await;
        client.answer(&discover, discovered()).await;
        client.listed(caller).await;
        client
    }

    /// Answers the handshake as a server of the legacy era.
    pub async fn initialize(&mut self) {
        let discover = self.request("server/discover").await;
        self.fail(&discover, -32601, "Method not found").await;
        let initialize = self.request("initialize").await;
        assert_eq!(initialize["params"]["protocolVersion"], "2025-11-25");
        self.answer(&initialize, initialized()).await;
        self.request("notifications/initialized").await;
    }

    /// Waits until the gateway has recorded the handshake.
    pub async fn listed(&self, caller: &Caller) {
        let path = format!("/reverse-proxy/sessions/{}", self.id);
        until("handshake", async || caller.get(&path).await.body["protocol_version"].is_string())
            .await;
    }

    /// Sends a message of the MCP server.
    pub async fn send(&mut self, kind: &str, payload: Value) {
        self.frame(json!({ "type": kind, "sessionId": "mine", "payload": payload })).await;
    }

    /// Answers a request of the gateway.
    pub async fn answer(&mut self, request: &Value, result: Value) {
        let answer = json!({ "jsonrpc": "2.0", "id": request["id"], "result": result });
        self.send("response", answer).await;
    }

    /// Answers a request of the gateway with an error.
    pub async fn fail(&mut self, request: &Value, code: i64, message: &str) {
        let error = json!({ "code": code, "message": message });
        self.send("response", json!({ "jsonrpc": "2.0", "id": request["id"], "error": error }))
            .await;
    }

    /// Sends a frame.
    pub async fn frame(&mut self, frame: Value) {
        self.text(frame.to_string()).await;
    }

    /// Sends a text.
    pub async fn text(&mut self, text: String) {
        self.socket.send(Message::text(text)).await.expect("sent");
    }

    /// Sends bytes that are no text.
    pub async fn bytes(&mut self, bytes: Vec<u8>) {
        self.socket.send(Message::binary(bytes)).await.expect("sent");
    }

    /// The next frame of the gateway.
    pub async fn read(&mut self) -> Value {
        loop {
            match soon("frame", self.socket.next()).await.expect("a frame").expect("a frame") {
                Message::Text(text) => return serde_json::from_str(&text).expect("JSON"),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other}"),
            }
        }
    }

    /// The next message to the MCP server. `None` at the end of the connection.
    pub async fn next_request(&mut self) -> Option<Value> {
        loop {
            match self.socket.next().await? {
                Ok(Message::Text(text)) => {
                    let mut frame: Value = serde_json::from_str(&text).expect("JSON");
                    if frame["type"] == "request" {
                        return Some(frame["payload"].take());
                    }
                }
                Ok(Message::Ping(_) | Message::Pong(_)) => {}
                _ => return None,
            }
        }
    }

    /// The next message to the MCP server. It must have this method.
    pub async fn request(&mut self, method: &str) -> Value {
        let mut frame = self.read().await;
        assert_eq!(frame["type"], "request", "{frame}");
        assert_eq!(frame["sessionId"], json!(self.id), "{frame}");
        assert_eq!(frame["payload"]["method"], method, "{frame}");
        frame["payload"].take()
    }

    /// The next message to the MCP server that is a response.
    pub async fn response(&mut self) -> Value {
        let mut frame = self.read().await;
        assert!(frame["payload"]["method"].is_null(), "{frame}");
        frame["payload"].take()
    }

    /// Waits for the end. Returns the close code and the reason.
    pub async fn closed(&mut self) -> (u16, String) {
        loop {
            match soon("end", self.socket.next()).await {
                Some(Ok(Message::Close(Some(close)))) => {
                    return (close.code.into(), close.reason.to_string());
                }
                Some(Ok(_)) => {}
                other => panic!("no close frame: {other:?}"),
            }
        }
    }

    /// Says goodbye, and waits for the end.
    pub async fn leave(mut self, caller: &Caller) {
        self.frame(json!({ "type": "unregister" })).await;
        assert_eq!(self.closed().await.0, 1000);
        let path = format!("/reverse-proxy/sessions/{}", self.id);
        until("disconnection", async || caller.get(&path).await.body["status"] == "disconnected")
            .await;
    }
}

/// The result of `initialize`.
pub fn initialized() -> Value {
    json!({
        "protocolVersion": "2025-11-25",
        "capabilities": { "tools": { "listChanged": true }, "logging": {} },
        "serverInfo": { "name": "played", "version": "1" },
        "instructions": "Be kind.",
    })
}

/// The result of `server/discover`.
pub fn discovered() -> Value {
    json!({
        "resultType": "complete",
        "supportedVersions": ["2026-07-28"],
        "capabilities": { "tools": { "listChanged": true } },
        "_meta": { "io.modelcontextprotocol/serverInfo": { "name": "played", "version": "1" } },
        "ttlMs": 0,
        "cacheScope": "private",
    })
}

/// A JSON-RPC request.
pub fn rpc(id: impl Into<Value>, method: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": id.into(), "method": method, "params": {} })
}

/// The path for requests through a tunnel.
pub fn request_path(id: Uuid) -> String {
    format!("/reverse-proxy/sessions/{id}/request")
}

/// Shares a tunnel with a user.
pub async fn share(owner: &Caller, tunnel: Uuid, user: &Caller, role: &str) {
    let path = share_path(tunnel, user).await;
    owner.call(Method::PUT, &path, Some(json!({ "role": role }))).await.ok();
}

/// Stops to share a tunnel with a user.
pub async fn unshare(owner: &Caller, tunnel: Uuid, user: &Caller) {
    let path = share_path(tunnel, user).await;
    assert_eq!(owner.call(Method::DELETE, &path, None).await.status, 204);
}

async fn share_path(tunnel: Uuid, user: &Caller) -> String {
    let username = user.me().await["username"].as_str().expect("a name").to_owned();
    format!("/reverse-proxy/sessions/{tunnel}/shares/{username}")
}

/// Sets the policy of a tunnel.
pub async fn set_policy(owner: &Caller, tunnel: Uuid, policy: Value) {
    let path = format!("/reverse-proxy/sessions/{tunnel}/policy");
    owner.call(Method::PUT, &path, Some(policy)).await.ok();
}

/// Creates an API key with this name. Returns its id and a client that uses it.
pub async fn key(caller: &Caller, name: &str) -> (Uuid, Caller) {
    let key = caller.post("/v1/api-keys", json!({ "name": name })).await.ok();
    let text = key["key"].as_str().expect("a key").to_owned();
    let id = id_of(key.get("api_key").unwrap_or(&key));
    (id, Caller { token: Some(text), ..caller.clone() })
}
