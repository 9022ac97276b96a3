//! A session of an MCP client of the legacy era (MCP 2025-11-25, Streamable HTTP, Session Management).

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    log_level::LogLevel,
    stream::{LogEntry, SessionStream},
};
use crate::json as relayed;
use crate::tunnel::{
    caller::{Caller, Capabilities},
    message::{self, Members},
    queue::{Receiver, Sender, queue},
};

/// Maximum number of resources whose updates a client can want.
const MAX_RESOURCES: usize = 1_000;
/// Maximum number of bytes of a URI of a resource whose updates a client wants.
pub const MAX_URI_BYTES: usize = 2_048;

/// Bytes of messages that may wait for the event log.
const LOG_BYTES: usize = 8 << 20;

/// A client, as it has described itself in `initialize`.
#[derive(Clone, Debug, PartialEq)]
pub struct McpClient {
    /// The version of the protocol that client and gateway use.
    pub protocol_version: String,
    /// The parameters of `initialize`: capabilities and clientInfo.
    pub params: Members,
}

impl McpClient {
    /// The questions that the client can answer.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        Capabilities::from_object(self.params.get("capabilities").unwrap_or(&Value::Null))
    }

    /// The `_meta` of requests in the modern era, for this client.
    #[must_use]
    pub fn modern_meta(&self, version: &str) -> Value {
        let part = |name: &str| self.params.get(name).cloned().unwrap_or_else(|| json!({}));
        json!({
            "io.modelcontextprotocol/protocolVersion": version,
            "io.modelcontextprotocol/clientInfo": part("clientInfo"),
            "io.modelcontextprotocol/clientCapabilities": part("capabilities"),
        })
    }
}

/// An item that waits for the event log.
#[derive(Debug)]
pub enum ForLog {
    /// A message to write.
    Entry(LogEntry),
    /// To notify when everything before is written.
    Flush(oneshot::Sender<()>),
}

/// A session.
pub struct Session {
    /// Id of the session, and of its resource.
    pub id: Uuid,
    /// Id of the tunnel.
    pub tunnel: Uuid,
    /// Id of the user.
    pub user: Uuid,
    /// The client.
    pub client: McpClient,
    /// Cancelled at the end of the session.
    pub ended: CancellationToken,
    /// Name of the stream for messages that belong to no request. Another one after a restart of the gateway, because
    /// its numbers begin again.
    standalone: String,
    log_level: Mutex<LogLevel>,
    resources: Mutex<BTreeSet<String>>,
    resources_changed: Notify,
    /// The connection at whose server the gateway keeps a subscription for this session.
    listening: Mutex<Option<Uuid>>,
    streams: Mutex<HashMap<String, Arc<SessionStream>>>,
    /// The requests of the client that the gateway translates, by the JSON text of their ids.
    requests: Mutex<HashMap<String, CancellationToken>>,
    /// The requests to the client that the gateway itself has made, and waits for.
    asked: Mutex<HashMap<String, oneshot::Sender<Members>>>,
    /// Absent if the client cannot resume.
    log: Option<Sender<ForLog>>,
    used_at: Mutex<Instant>,
}

impl Session {
    /// A session, and the messages for its event log.
    #[must_use]
    pub fn new(id: Uuid, of: (Uuid, Uuid), client: McpClient) -> (Arc<Self>, Receiver<ForLog>) {
        let (log, receiver) = queue(LOG_BYTES);
        let standalone = format!("get{}", Uuid::new_v4().simple());
        (Arc::new(Self::with(id, of, client, (standalone, Some(log)))), receiver)
    }

    /// A session whose client has one stream for all messages, and cannot resume it.
    #[must_use]
    pub fn without_log(
        id: Uuid,
        of: (Uuid, Uuid),
        client: McpClient,
        stream: &Arc<SessionStream>,
    ) -> Arc<Self> {
        let session = Self::with(id, of, client, (stream.name.clone(), None));
        session.streams.lock().insert(stream.name.clone(), Arc::clone(stream));
        Arc::new(session)
    }

    fn with(
        id: Uuid,
        (tunnel, user): (Uuid, Uuid),
        client: McpClient,
        (standalone, log): (String, Option<Sender<ForLog>>),
    ) -> Self {
        Self {
            id,
            tunnel,
            user,
            client,
            ended: CancellationToken::new(),
            standalone,
            log_level: Mutex::default(),
            resources: Mutex::default(),
            resources_changed: Notify::new(),
            listening: Mutex::default(),
            streams: Mutex::default(),
            requests: Mutex::default(),
            asked: Mutex::default(),
            log,
            used_at: Mutex::new(Instant::now()),
        }
    }

    /// Whether the event log has the messages, so that the client can resume.
    #[must_use]
    pub fn has_log(&self) -> bool {
        self.log.is_some()
    }

    /// The session as the caller of a request.
    #[must_use]
    pub fn caller(&self) -> Caller {
        Caller { id: self.id, user: self.user, capabilities: self.client.capabilities() }
    }

    /// Begins a stream with this name, or finds it.
    #[must_use]
    pub fn stream(&self, name: &str) -> Arc<SessionStream> {
        let mut streams = self.streams.lock();
        let new = || Arc::new(SessionStream::new(name.to_owned()));
        Arc::clone(streams.entry(name.to_owned()).or_insert_with(new))
    }

    /// The stream with this name. `None` if it has ended, or never was.
    #[must_use]
    pub fn find_stream(&self, name: &str) -> Option<Arc<SessionStream>> {
        self.streams.lock().get(name).cloned()
    }

    /// Sends a message on a stream, and queues it for the event log. A message that does not fit into the queue cannot
    /// be sent again, if the client loses it.
    pub fn send(&self, stream: &SessionStream, message: &Members) {
        let text = message::text(message);
        let bytes = text.len();
        let numbered = stream.send(text);
        let Some(log) = &self.log else { return };
        let entry = ForLog::Entry(LogEntry { stream: stream.name.clone(), numbered });
        if log.send(entry, bytes).is_err() {
            tracing::warn!(session = %self.id, "the event log is too slow for an MCP session");
        }
    }

    /// Sends a message on the stream for messages that belong to no request, if the client has opened it once.
    pub fn send_unasked(&self, message: &Members) {
        if let Some(stream) = self.find_stream(&self.standalone) {
            self.send(&stream, message);
        }
    }

    /// The stream for messages that belong to no request. It begins when a client opens it for the first time.
    #[must_use]
    pub fn standalone(&self) -> Arc<SessionStream> {
        self.stream(&self.standalone)
    }

    /// The name of this stream.
    #[must_use]
    pub fn standalone_name(&self) -> &str {
        &self.standalone
    }

    /// Whether this is the name of such a stream, of this session before or after a restart.
    #[must_use]
    pub fn is_standalone(name: &str) -> bool {
        name.starts_with("get")
    }

    /// Whether a client has opened the stream for messages that belong to no request.
    #[must_use]
    pub fn has_standalone(&self) -> bool {
        self.find_stream(&self.standalone).is_some()
    }

    /// Ends a stream.
    pub fn end_stream(&self, stream: &SessionStream) {
        self.streams.lock().remove(&stream.name);
        stream.end();
    }

    /// Waits until the event log has all messages until now.
    pub async fn flush(&self) {
        let Some(log) = &self.log else { return };
        let (sender, written) = oneshot::channel();
        if log.send_anyway(ForLog::Flush(sender)).is_ok() {
            // The writer ends with the session.
            let _ = written.await;
        }
    }

    /// Whether a client is connected to a stream, or has sent something in this time.
    #[must_use]
    pub fn is_in_use(&self, time: Duration) -> bool {
        let is_connected = |stream: &Arc<SessionStream>| stream.has_client();
        self.used_at.lock().elapsed() < time || self.streams.lock().values().any(is_connected)
    }

    /// The client has sent something.
    pub fn touch(&self) {
        *self.used_at.lock() = Instant::now();
    }

    /// The log level that the client wants.
    #[must_use]
    pub fn log_level(&self) -> LogLevel {
        *self.log_level.lock()
    }

    /// Sets the log level that the client wants.
    pub fn set_log_level(&self, level: LogLevel) {
        *self.log_level.lock() = level;
    }

    /// The URIs of the resources whose updates the client wants.
    #[must_use]
    pub fn resources(&self) -> BTreeSet<String> {
        self.resources.lock().clone()
    }

    /// Whether the client wants the updates of a resource.
    #[must_use]
    pub fn is_subscribed(&self, uri: &str) -> bool {
        self.resources.lock().contains(uri)
    }

    /// Adds or removes the URI of a resource whose updates the client wants. Returns false if there are too many, or if
    /// the URI is too long.
    #[must_use]
    pub fn set_subscribed(&self, uri: String, is_subscribed: bool) -> bool {
        let mut resources = self.resources.lock();
        if is_subscribed && (resources.len() >= MAX_RESOURCES || uri.len() > MAX_URI_BYTES) {
            return false;
        }
        let has_changed =
            if is_subscribed { resources.insert(uri) } else { resources.remove(&uri) };
        if has_changed {
            self.resources_changed.notify_one();
        }
        true
    }

    /// Removes every resource.
    pub fn clear_resources(&self) {
        let mut resources = self.resources.lock();
        if !resources.is_empty() {
            resources.clear();
            self.resources_changed.notify_one();
        }
    }

    /// Completes when the client wants the updates of other resources than before.
    pub async fn resources_changed(&self) {
        self.resources_changed.notified().await;
    }

    /// Whether no subscription is kept at the server of this connection yet. From now on one is.
    #[must_use]
    pub fn begin_listening(&self, connection: Uuid) -> bool {
        self.listening.lock().replace(connection) != Some(connection)
    }

    /// Waits for the client's response to a request with this id.
    #[must_use]
    pub fn ask(&self, id: String) -> oneshot::Receiver<Members> {
        let (sender, receiver) = oneshot::channel();
        self.asked.lock().insert(id, sender);
        receiver
    }

    /// Stops to wait for a response.
    pub fn forget(&self, id: &str) {
        self.asked.lock().remove(id);
    }

    /// Begins a request that the gateway translates. The token is cancelled if the client cancels the request.
    #[must_use]
    pub fn begin_request(&self, id: &Value) -> CancellationToken {
        let token = CancellationToken::new();
        self.requests.lock().insert(relayed::text(id), token.clone());
        token
    }

    /// Ends a request that the gateway translates.
    pub fn end_request(&self, id: &Value) {
        self.requests.lock().remove(&relayed::text(id));
    }

    /// Cancels a request that the gateway translates.
    pub fn cancel(&self, id: &Value) {
        let token = self.requests.lock().get(&relayed::text(id)).cloned();
        if let Some(token) = token {
            token.cancel();
        }
    }

    /// Takes a response of the client to a request of the gateway. Returns it if it answers no such request.
    #[must_use]
    pub fn answered(&self, response: Members) -> Option<Members> {
        let id = response.get("id").and_then(Value::as_str);
        match id.and_then(|id| self.asked.lock().remove(id)) {
            Some(sender) => {
                // Nobody waits any more if the request has failed in the meantime.
                let _ = sender.send(response);
                None
            }
            None => Some(response),
        }
    }

    /// Ends the session and its streams.
    pub fn end(&self) {
        self.ended.cancel();
        for (_, stream) in self.streams.lock().drain() {
            stream.end();
        }
    }

    /// Whether the client gets this notification, which belongs to no request.
    #[must_use]
    pub fn wants(&self, notification: &Members) -> bool {
        let param = |name: &str| message::member(notification, &["params", name])?.as_str();
        match message::method(notification).unwrap_or_default() {
            "notifications/resources/updated" => {
                param("uri").is_some_and(|uri| self.is_subscribed(uri))
            }
            // It names no request, so it may be about what another user has sent.
            "notifications/message" => false,
            method => method.ends_with("/list_changed"),
        }
    }
}
