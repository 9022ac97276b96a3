//! The connection of one tunnel client, without the WebSocket that carries it.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use serde_json::Value;
use tokio::{
    sync::{Notify, broadcast, watch},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    call::{Call, cancel_at_server},
    caller::Caller,
    calls::Calls,
    counters::{Counters, Traffic},
    error::{CallError, Disconnect},
    frame::{self, ClientFrame, InvalidFrame, Registration},
    message::{self, Members},
    metrics::Metrics,
    outbound::{Frames, Outbound},
    reply::Routed,
    server::Server,
    watched::WatchedResources,
};
use crate::event::MAX_DATA;

/// Messages without a request that may wait for those that listen, and the bytes of the largest one. No stream could
/// carry a larger one.
const UNASKED: usize = 64;
const UNASKED_BYTES: usize = MAX_DATA;

/// The shortest time between two answers to heartbeats. The client of `mcpgateway` answers every answer.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(1);

/// The limits of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Maximum number of requests in flight.
    pub requests_in_flight: usize,
    /// Longest time without a message of the server for a request.
    pub request_time: Duration,
    /// Time without a message of the server after which the gateway probes it, and the time that it has to answer.
    pub unresponsive: Duration,
}

/// A tunnel client that is connected to this gateway.
pub struct Connection {
    /// Id of the tunnel.
    pub tunnel: Uuid,
    /// Id of this connection.
    pub id: Uuid,
    /// Id of the owner.
    pub owner: Uuid,
    /// Text that the client has chosen for its process. Absent if it sent none.
    pub instance: Option<String>,
    /// The limits.
    pub settings: Settings,
    /// The resources whose updates clients of the modern era want.
    pub watched: WatchedResources,
    is_session_valid: SessionCheck,
    calls: Arc<Calls>,
    outbound: Outbound,
    counters: Arc<Counters>,
    metrics: Arc<Metrics>,
    registered: watch::Sender<Option<Registration>>,
    server: watch::Sender<Option<Arc<Server>>>,
    unasked: broadcast::Sender<Arc<str>>,
    /// The headers of the tools, and when they were read.
    tool_headers: Mutex<Option<(Instant, ToolHeaders)>>,
    heartbeat_at: Mutex<Option<Instant>>,
    /// Time of the last message of the MCP server.
    heard_at: Mutex<Instant>,
    /// Changed by every frame of the client, pongs included.
    client_heard: watch::Sender<()>,
    ping: Notify,
    closed: CancellationToken,
    reason: Mutex<Option<Disconnect>>,
}

/// The notification that the tools have changed.
const TOOLS_CHANGED: &str = "notifications/tools/list_changed";

/// For each tool, the paths of the arguments that a header repeats, and the names of these headers. Tools without such
/// headers are not in it.
pub type ToolHeaders = Arc<HashMap<String, Vec<(Vec<String>, String)>>>;

/// Whether the login session of the client is still valid.
pub type SessionCheck = Box<dyn Fn() -> bool + Send + Sync>;

/// The identity of a connection.
pub struct Identity {
    /// Id of the tunnel.
    pub tunnel: Uuid,
    /// Id of the connection.
    pub id: Uuid,
    /// Id of the owner.
    pub owner: Uuid,
    /// Text that the client has chosen for its process. Absent if it sent none.
    pub instance: Option<String>,
    /// Whether the login session of the client is still valid.
    pub is_session_valid: SessionCheck,
}

impl Connection {
    /// A connection that begins, and the frames to write to its socket.
    #[must_use]
    pub fn new(
        identity: Identity,
        before: Traffic,
        settings: Settings,
        metrics: &Arc<Metrics>,
    ) -> (Arc<Self>, Frames) {
        let Identity { tunnel, id, owner, instance, is_session_valid } = identity;
        let counters = Arc::new(Counters::new(before));
        let (outbound, frames) = Outbound::new(tunnel, Arc::clone(&counters), Arc::clone(metrics));
        metrics.connected();
        let connection = Self {
            tunnel,
            id,
            owner,
            instance,
            settings,
            watched: WatchedResources::default(),
            is_session_valid,
            calls: Arc::new(Calls::new(settings.requests_in_flight, owner, Arc::clone(metrics))),
            outbound,
            counters,
            metrics: Arc::clone(metrics),
            registered: watch::Sender::default(),
            server: watch::Sender::default(),
            unasked: broadcast::Sender::new(UNASKED),
            tool_headers: Mutex::default(),
            heartbeat_at: Mutex::default(),
            heard_at: Mutex::new(Instant::now()),
            client_heard: watch::Sender::default(),
            ping: Notify::new(),
            closed: CancellationToken::new(),
            reason: Mutex::default(),
        };
        (Arc::new(connection), frames)
    }

    /// Takes the text of a frame from the client.
    pub fn receive(&self, text: &str) {
        self.counters.received_bytes(text.len());
        match ClientFrame::parse(text) {
            Ok(ClientFrame::Message(message)) => {
                *self.heard_at.lock() = Instant::now();
                self.counters.received_message();
                self.metrics.received(text.len());
                match self.calls.route(message) {
                    Routed::Done(responses) => self.send_all(&responses),
                    Routed::Unasked(message) => {
                        if message::method(&message) == Some(TOOLS_CHANGED) {
                            *self.tool_headers.lock() = None;
                        }
                        if text.len() > UNASKED_BYTES {
                            self.lost_unasked(1);
                        } else {
                            // As text, which needs less memory. Nobody may be listening.
                            let _ = self.unasked.send(message::text(&message).into());
                        }
                    }
                }
            }
            Ok(ClientFrame::Register(registration)) => self.register(registration),
            Ok(ClientFrame::Heartbeat) => self.answer_heartbeat(),
            Ok(ClientFrame::Unregister) => self.close(Disconnect::Client),
            Ok(ClientFrame::Error(error)) => {
                tracing::warn!(tunnel = %self.tunnel, error, "the tunnel client reports an error");
            }
            Err(InvalidFrame { reason, answers }) => {
                tracing::warn!(tunnel = %self.tunnel, reason, "a frame of the tunnel client is not valid");
                let failed =
                    answers.and_then(|key| self.calls.fail(&key, CallError::InvalidAnswer(reason)));
                self.send_all(&failed.unwrap_or_default());
            }
        }
    }

    fn register(&self, registration: Registration) {
        for kind in ["register_ack", "register_complete"] {
            // A client that takes nothing will be found by the probe.
            let _ = self.outbound.send(frame::accepted(kind, self.tunnel));
        }
        self.registered.send_replace(Some(registration));
    }

    fn answer_heartbeat(&self) {
        let mut answered = self.heartbeat_at.lock();
        if answered.is_none_or(|at| at.elapsed() >= HEARTBEAT_INTERVAL) {
            *answered = Some(Instant::now());
            let _ = self.outbound.send(frame::heartbeat(self.tunnel));
        }
    }

    fn send_all(&self, messages: &[Members]) {
        for message in messages {
            let _ = self.outbound.send_message(message);
        }
    }

    /// Sends a request to the MCP server. With `idle`, the request fails when the server sends nothing for it in this
    /// time.
    ///
    /// # Errors
    /// [`CallError`] if the request was not sent.
    pub fn call(
        &self,
        caller: Caller,
        mut request: Members,
        idle: Option<Duration>,
    ) -> Result<Call, CallError> {
        let replies = self.calls.open(caller, &mut request)?;
        if let Err(error) = self.outbound.send_message(&request) {
            self.calls.end(&replies.key, Some(&error));
            return Err(error);
        }
        let (calls, outbound) = (Arc::clone(&self.calls), self.outbound.clone());
        let heard_at = tokio::time::Instant::now();
        Ok(Call { calls, outbound, replies, idle, heard_at, has_ended: false })
    }

    /// Sends a notification to the MCP server.
    ///
    /// # Errors
    /// [`CallError`] if the notification was not sent.
    pub fn notify(&self, notification: &Members) -> Result<(), CallError> {
        self.outbound.send_message(notification)
    }

    /// Sends a caller's response to a request of the MCP server. Returns whether the server waits for it.
    ///
    /// # Errors
    /// [`CallError`] if the response was not sent.
    pub fn answer(&self, caller: Uuid, response: Members) -> Result<bool, CallError> {
        let Some(response) = self.calls.answer(caller, response) else { return Ok(false) };
        self.outbound.send_message(&response)?;
        Ok(true)
    }

    /// Cancels the request of a caller with this id, if it is in flight.
    pub fn cancel(&self, caller: Uuid, request_id: &Value) {
        let Some(key) = self.calls.find(caller, request_id) else { return };
        if let Some(responses) = self.calls.fail(&key, CallError::Cancelled) {
            self.send_all(&responses);
            cancel_at_server(&self.outbound, &key, "the MCP client has cancelled the request");
        }
    }

    /// Waits for the registration of the client.
    pub async fn registered(&self) -> Option<Registration> {
        let mut registered = self.registered.subscribe();
        let registered = registered.wait_for(Option::is_some).await.ok()?;
        registered.clone()
    }

    /// The MCP server, after the handshake.
    #[must_use]
    pub fn server(&self) -> Option<Arc<Server>> {
        self.server.borrow().clone()
    }

    /// Waits for the end of the handshake. `None` if the connection ends before.
    pub async fn initialized(&self) -> Option<Arc<Server>> {
        let mut server = self.server.subscribe();
        let initialized = async { server.wait_for(Option::is_some).await.ok()?.clone() };
        self.closed.run_until_cancelled(initialized).await?
    }

    /// Ends the handshake.
    pub fn set_server(&self, server: Server) -> Arc<Server> {
        let server = Arc::new(server);
        self.server.send_replace(Some(Arc::clone(&server)));
        server
    }

    /// The messages of the MCP server that belong to no request, from now on.
    #[must_use]
    pub fn listen(&self) -> broadcast::Receiver<Arc<str>> {
        self.unasked.subscribe()
    }

    /// Time since the last message of the MCP server.
    #[must_use]
    pub fn silence(&self) -> Duration {
        self.heard_at.lock().elapsed()
    }

    /// The traffic until now.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        self.counters.traffic()
    }

    /// The headers of the tools, if they were read in this time and have not changed since.
    #[must_use]
    pub fn tool_headers(&self, life: Duration) -> Option<ToolHeaders> {
        let known = self.tool_headers.lock();
        let known = known.as_ref().filter(|(read_at, _)| read_at.elapsed() < life);
        known.map(|(_, headers)| Arc::clone(headers))
    }

    /// Keeps the headers of the tools.
    pub fn set_tool_headers(&self, headers: ToolHeaders) -> ToolHeaders {
        *self.tool_headers.lock() = Some((Instant::now(), Arc::clone(&headers)));
        headers
    }

    /// The client has sent a frame of any kind.
    pub fn client_heard(&self) {
        self.client_heard.send_replace(());
    }

    /// Completes when the client should get a ping.
    pub async fn ping_wanted(&self) {
        self.ping.notified().await;
    }

    /// Whether the client answers a ping in this time.
    pub async fn is_alive(&self, time: Duration) -> bool {
        let mut heard = self.client_heard.subscribe();
        self.ping.notify_one();
        let heard = timeout(time, heard.changed()).await.is_ok_and(|heard| heard.is_ok());
        heard && !self.is_closed()
    }

    /// Ends the connection if the login session of the client has ended.
    pub fn check_session(&self) {
        if !(self.is_session_valid)() {
            self.close(Disconnect::SessionEnded);
        }
    }

    /// Ends the connection. Every request in flight fails at once. The first reason stays.
    pub fn close(&self, reason: Disconnect) {
        self.reason.lock().get_or_insert(reason);
        self.closed.cancel();
        self.calls.close();
    }

    /// Completes when the connection ends, with the reason.
    pub async fn closed(&self) -> Disconnect {
        self.closed.cancelled().await;
        self.reason.lock().unwrap_or(Disconnect::ConnectionLost)
    }

    /// Whether the connection has ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.is_cancelled()
    }

    /// Messages without a request were lost, because those that listen were too slow.
    pub fn lost_unasked(&self, messages: u64) {
        self.metrics.dropped(messages);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.metrics.disconnected();
    }
}
