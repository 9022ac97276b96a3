//! A client of the MCP endpoint that sees every header and every event.

use std::borrow::Borrow;

use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{caller::Caller, tunnel::TunnelClient, waiting::soon};

/// An MCP client of the legacy era, in a session.
pub struct McpClient {
    pub caller: Caller,
    pub path: String,
    pub session: String,
    pub version: String,
}

/// An event of a stream.
#[derive(Clone, Debug, PartialEq)]
pub struct McpEvent {
    pub id: Option<String>,
    /// Null for the event without data at the start of a stream.
    pub message: Value,
}

/// The answer to a POST or a GET.
pub struct McpAnswer {
    pub status: StatusCode,
    response: Response,
    buffer: Vec<u8>,
}

impl McpClient {
    /// Initializes a session with these capabilities.
    pub async fn with(caller: &Caller, tunnel: Uuid, version: &str, capabilities: Value) -> Self {
        let path = format!("/mcp/{tunnel}");
        let params = json!({
            "protocolVersion": version,
            "capabilities": capabilities,
            "clientInfo": { "name": "test", "version": "1" },
        });
        let initialize =
            json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params });
        let answer = post(caller, &path, &[], &initialize).await;
        assert_eq!(answer.status, 200);
        let session = answer.header("mcp-session-id").expect("a session").to_owned();
        let result = answer.json().await["result"].take();
        let version = result["protocolVersion"].as_str().expect("a version").to_owned();
        let client = Self { caller: caller.clone(), path, session, version };
        let initialized = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
        assert_eq!(client.post(&initialized).await.status, 202);
        client
    }

    /// Initializes a session of the newest version of the legacy era.
    pub async fn new(caller: &Caller, tunnel: Uuid) -> Self {
        let capabilities = json!({ "elicitation": {}, "sampling": {}, "roots": {} });
        Self::with(caller, tunnel, "2025-11-25", capabilities).await
    }

    fn headers(&self) -> [(&'static str, &str); 2] {
        [("mcp-session-id", &self.session), ("mcp-protocol-version", &self.version)]
    }

    /// Sends a message.
    pub async fn post(&self, message: impl Borrow<Value>) -> McpAnswer {
        post(&self.caller, &self.path, &self.headers(), message.borrow()).await
    }

    /// Sends a request, and returns the answer.
    pub async fn call(&self, id: impl Into<Value>, method: &str, params: Value) -> Value {
        let request =
            json!({ "jsonrpc": "2.0", "id": id.into(), "method": method, "params": params });
        self.post(&request).await.last().await
    }

    /// Opens the stream of the session, or resumes one after this event.
    pub async fn open(&self, after: Option<&str>) -> McpAnswer {
        let mut request = self.caller.request(Method::GET, &self.path);
        for (name, value) in self.headers().into_iter().chain(after.map(|id| ("last-event-id", id)))
        {
            request = request.header(name, value);
        }
        McpAnswer::new(
            soon("head", request.header("accept", "text/event-stream").send())
                .await
                .expect("a head"),
        )
    }

    /// Ends the session.
    pub async fn end(&self) -> StatusCode {
        let mut request = self.caller.request(Method::DELETE, &self.path);
        for (name, value) in self.headers() {
            request = request.header(name, value);
        }
        soon("answer", request.send()).await.expect("an answer").status()
    }
}

/// Sends a message with these headers.
pub async fn post(
    caller: &Caller,
    path: &str,
    headers: &[(&str, &str)],
    message: &Value,
) -> McpAnswer {
    let mut request = caller.request(Method::POST, path).json(message);
    request = request.header("accept", "application/json, text/event-stream");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    McpAnswer::new(soon("head", request.send()).await.expect("a head"))
}

/// Sends a request of the modern era.
pub async fn modern(
    caller: &Caller,
    path: &str,
    id: impl Into<Value>,
    method: &str,
    params: Value,
) -> McpAnswer {
    let message = modern_request(id, method, params);
    let name = message["params"]["name"].as_str().or(message["params"]["uri"].as_str());
    let mut headers = vec![("mcp-protocol-version", "2026-07-28"), ("mcp-method", method)];
    headers.extend(name.map(|name| ("mcp-name", name)));
    post(caller, path, &headers, &message).await
}

/// A request of the modern era.
pub fn modern_request(id: impl Into<Value>, method: &str, mut params: Value) -> Value {
    let meta = &mut params["_meta"];
    meta["io.modelcontextprotocol/protocolVersion"] = "2026-07-28".into();
    meta["io.modelcontextprotocol/clientInfo"] = json!({ "name": "test", "version": "1" });
    meta["io.modelcontextprotocol/clientCapabilities"] = json!({ "elicitation": {} });
    json!({ "jsonrpc": "2.0", "id": id.into(), "method": method, "params": params })
}

impl McpAnswer {
    fn new(response: Response) -> Self {
        Self { status: response.status(), response, buffer: Vec::new() }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }

    pub fn is_stream(&self) -> bool {
        self.header("content-type") == Some("text/event-stream")
    }

    /// The body as JSON.
    pub async fn json(self) -> Value {
        let text = soon("body", self.response.text()).await.expect("a body");
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("no JSON: {text}"))
    }

    /// The next event. `None` at the end of the stream.
    pub async fn event(&mut self) -> Option<McpEvent> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|bytes| bytes == b"\n\n") {
                let block: Vec<u8> = self.buffer.drain(..end + 2).collect();
                let block = String::from_utf8(block).expect("UTF-8");
                let field = |name: &str| {
                    block.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
                };
                let data = field("data:").expect("data");
                let message = if data.is_empty() {
                    Value::Null
                } else {
                    serde_json::from_str(data).expect("JSON")
                };
                return Some(McpEvent { id: field("id:").map(str::to_owned), message });
            }
            match soon("event", self.response.chunk()).await {
                Ok(Some(bytes)) => self.buffer.extend(bytes),
                Ok(None) => return None,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// The next message.
    pub async fn message(&mut self) -> Value {
        loop {
            let event = self.event().await.expect("an event");
            if !event.message.is_null() {
                return event.message;
            }
        }
    }

    /// The last message of a stream, or the body.
    pub async fn last(mut self) -> Value {
        if !self.is_stream() {
            return self.json().await;
        }
        let mut last = Value::Null;
        while let Some(event) = self.event().await {
            last = event.message;
        }
        last
    }
}

/// Answers every request of an MCP server with its own parameters, until the client disconnects.
pub async fn echo(mut client: TunnelClient) {
    while let Some(request) = client.next_request().await {
        if !request["id"].is_null() && request["method"].is_string() {
            let result = json!({ "method": request["method"], "params": request["params"] });
            client.answer(&request, result).await;
        }
    }
}
