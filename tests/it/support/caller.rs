//! A client for tests. It sends requests and opens streams as one user, or without a credential.

use std::net::SocketAddr;

use reqwest::{Method, RequestBuilder, StatusCode, header::HeaderMap};
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use uuid::Uuid;

use crate::support::{openapi::assert_documented, sse::SseReader, waiting::soon};

/// A client of the gateway.
#[derive(Clone)]
pub struct Caller {
    pub http: reqwest::Client,
    pub address: SocketAddr,
    pub token: Option<String>,
}

impl Caller {
    /// Creates a client of a server that is not an [`App`].
    pub fn at(address: SocketAddr, token: Option<String>) -> Self {
        Self { http: reqwest::Client::new(), address, token }
    }

    /// The body of `GET /v1/auth/me`.
    pub async fn me(&self) -> Value {
        self.get("/v1/auth/me").await.ok()
    }

    /// Mints a stream token for a topology. Returns the body of the response.
    pub async fn mint(&self, topology: Uuid) -> Value {
        let wanted = json!({ "family": "topology", "id": topology });
        self.post("/v1/stream-tokens", wanted).await.ok()
    }

    /// Returns the URL of a topology's stream, with a new stream token.
    pub async fn stream_url(&self, topology: Uuid) -> String {
        self.mint(topology).await["url"].as_str().expect("a URL").to_owned()
    }

    /// Returns the user's id.
    pub async fn id(&self) -> Uuid {
        id_of(&self.me().await)
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.call(Method::POST, path, Some(body)).await
    }

    pub async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        let request = self.request(method, path);
        Self::answer(match body {
            Some(body) => request.json(&body),
            None => request,
        })
        .await
    }

    /// Begins a request. [`Caller::answer`] sends it.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("http://{}{path}", self.address));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Sends a request, and checks that the document lists the status of a refusal.
    pub async fn answer(request: RequestBuilder) -> Answer {
        let (client, request) = request.build_split();
        let request = request.expect("a request");
        let (method, path) = (request.method().clone(), request.url().path().to_owned());
        let answer = soon("answer", client.execute(request)).await.expect("an answer");
        let (status, headers) = (answer.status(), answer.headers().clone());
        if status.is_client_error() || status.is_server_error() {
            assert_documented(&method, &path, status);
        }
        let text = soon("body", answer.text()).await.expect("a body");
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Answer { status, headers, body }
    }

    pub async fn set_status(&self, topology: Uuid, status: &str) -> Answer {
        let path = format!("/v1/topologies/{topology}/status");
        self.post(&path, json!({ "status": status })).await
    }

    /// Changes a topology step by step to its terminal status.
    pub async fn tear_down(&self, topology: Uuid) {
        for status in ["tearing_down", "torn_down"] {
            self.set_status(topology, status).await.ok();
        }
    }

    /// Enqueues a mutation with this number in its payload.
    pub async fn mutate(&self, topology: Uuid, number: u64) -> Answer {
        let path = format!("/v1/topologies/{topology}/mutations");
        self.post(&path, json!({ "op": "add_node", "payload": { "number": number } })).await
    }

    /// Opens the stream of a topology.
    pub async fn watch(&self, topology: Uuid, query: &str) -> SseReader {
        self.stream(&format!("/v1/topologies/{topology}/stream?{query}"), "").await
    }

    /// Opens the stream of a topology on an open connection.
    pub async fn watch_on(&self, socket: TcpStream, topology: Uuid, query: &str) -> SseReader {
        let path = format!("/v1/topologies/{topology}/stream?{query}");
        SseReader::on(socket, &self.stream_request(&path, "")).await
    }

    /// Opens a stream with further header lines, each ending in CRLF.
    pub async fn stream(&self, path: &str, headers: &str) -> SseReader {
        SseReader::open(self.address, &self.stream_request(path, headers)).await
    }

    pub fn stream_request(&self, path: &str, headers: &str) -> String {
        let credential = match &self.token {
            Some(token) => format!("Authorization: Bearer {token}\r\n"),
            None => String::new(),
        };
        format!("GET {path} HTTP/1.1\r\nHost: {}\r\n{credential}{headers}\r\n", self.address)
    }
}

/// A response. The body is JSON, or a string if it is not valid JSON.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Answer {
    /// Checks that the status is a success, and returns the body.
    #[track_caller]
    pub fn ok(self) -> Value {
        assert!(self.status.is_success(), "{self:?}");
        self.body
    }

    /// Checks that the response is a problem document with this status, and returns the detail.
    #[track_caller]
    pub fn problem(self, status: u16) -> String {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert_eq!(self.body["status"], status);
        let kind = self.body["type"].as_str().expect("a type");
        assert!(kind.starts_with("https://streamgate.dev/problems/"), "{kind}");
        let request = self.headers["x-request-id"].to_str().expect("an id");
        assert_eq!(self.body["instance"], format!("urn:uuid:{request}"));
        self.body["detail"].as_str().expect("a detail").to_owned()
    }
}

/// The `id` of a body.
#[track_caller]
pub fn id_of(body: &Value) -> Uuid {
    body["id"].as_str().and_then(|id| id.parse().ok()).unwrap_or_else(|| panic!("no id: {body}"))
}

/// A client that speaks HTTP/2 from the first byte.
pub fn http2() -> reqwest::Client {
    reqwest::Client::builder().http2_prior_knowledge().build().expect("a client")
}

/// Connects with a small receive buffer, so that unread bytes soon stay at the server.
pub async fn connect_with_small_buffer(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("an option");
    socket.connect(address).await.expect("a connection")
}
