//! Server-sent events of the MCP endpoint.

use std::{collections::VecDeque, io, sync::Arc, time::Duration};

use bytes::Bytes;
use entity::Timestamp;
use futures_util::stream;
use poem::Body;
use tokio::time::timeout;
use uuid::Uuid;

use crate::{
    auth::login_session::SessionWatch,
    config::PublicUrl,
    event,
    family::mcp_session::StreamReader,
    gateway::Gateway,
    limit::Slot,
    mcp::{Item, Running, SseConnection},
    tunnel::{
        Revocation,
        message::{self, Members},
        queue::Receiver,
        session::Numbered,
    },
};

/// A comment, which keeps an idle connection open.
const COMMENT: &[u8] = b":\n";

/// The slot of the user, and the watches of the login session and of the tunnel, which a body holds until it ends.
pub(super) struct Held {
    pub(super) watch: SessionWatch,
    pub(super) revocation: Revocation,
    pub(super) _slot: Slot,
}

/// The time between two comments.
pub(super) fn heartbeat(gateway: &Gateway) -> Duration {
    Duration::from_secs(gateway.config.streams.heartbeat_seconds)
}

/// An event with a message.
fn message_event(message: &Members) -> Bytes {
    let data = event::one_line(message::text(message));
    Bytes::from(format!("event: message\ndata: {data}\n\n"))
}

/// An event with a message. With the name of its stream, a client can resume after it.
fn numbered_event(stream: Option<&str>, Numbered { number, message }: Numbered) -> Bytes {
    let data = event::one_line(message);
    let id = stream.map(|stream| format!("id: {stream}-{number}\n")).unwrap_or_default();
    Bytes::from(format!("event: message\ndata: {data}\n{id}\n"))
}

/// The first event of a client that speaks HTTP+SSE: the path for its messages (MCP 2024-11-05, HTTP with SSE). `path` is
/// that of the stream.
pub(super) fn endpoint_event(gateway: &Gateway, path: &str, client: Uuid) -> Bytes {
    let prefix = gateway.config.server.public_url.as_ref().map(PublicUrl::path);
    let prefix = prefix.unwrap_or_default();
    let path = path.strip_suffix("sse").unwrap_or(path);
    Bytes::from(format!("event: endpoint\ndata: {prefix}{path}messages?session_id={client}\n\n"))
}

/// The first event of a stream: an id to resume after, the time to wait before that, and no data.
pub(super) fn priming_event(gateway: &Gateway, stream: &str, number: u64) -> Bytes {
    let retry = gateway.hub.retry().as_millis();
    Bytes::from(format!("retry: {retry}\nid: {stream}-{number}\ndata:\n\n"))
}

/// The answer to a request of the modern era. If the client disconnects, the request is cancelled.
pub(super) fn modern_body(
    gateway: &Gateway,
    running: Running,
    first: Option<Item>,
    held: Held,
) -> Body {
    let first = first.map(|item| match item {
        Item::Message(message) | Item::Last(message) => message_event(&message),
    });
    let (heartbeat, state) = (heartbeat(gateway), (Some(running), first, held));
    Body::from_bytes_stream(stream::unfold(state, move |(running, first, held)| async move {
        if let Some(first) = first {
            return Some((Ok::<_, io::Error>(first), (running, None, held)));
        }
        let mut running = running?;
        held.watch.check(Timestamp::now()).ok()?;
        let (bytes, running) = match timeout(heartbeat, running.next()).await {
            Ok(Item::Message(message)) => (message_event(&message), Some(running)),
            Ok(Item::Last(message)) => (message_event(&message), None),
            Err(_) => (Bytes::from_static(COMMENT), Some(running)),
        };
        Some((Ok(bytes), (running, None, held)))
    }))
}

/// The parts of a stream of a session, in the order in which it sends them.
pub(super) struct SessionEvents {
    /// Name of the stream. Absent if it cannot be resumed.
    pub(super) name: Option<String>,
    /// The events to send first.
    pub(super) ready: VecDeque<Bytes>,
    /// The messages to read from the event log then, and the name of their stream.
    pub(super) past: Option<(StreamReader, String)>,
    /// The event after them.
    pub(super) between: Option<Bytes>,
    /// The messages that come.
    pub(super) live: Option<Receiver<Numbered>>,
    pub(super) held: Held,
    /// The client, if its session ends with the stream.
    pub(super) _client: Option<SseConnection>,
}

/// The events of a stream of a session.
pub(super) fn session_body(gateway: &Arc<Gateway>, events: SessionEvents) -> Body {
    let state = (Arc::clone(gateway), events);
    Body::from_bytes_stream(stream::unfold(state, |(gateway, mut events)| async move {
        let bytes = next(&gateway, &mut events).await?;
        Some((Ok::<_, io::Error>(bytes), (gateway, events)))
    }))
}

async fn next(gateway: &Gateway, events: &mut SessionEvents) -> Option<Bytes> {
    loop {
        if let Some(bytes) = events.ready.pop_front() {
            return Some(bytes);
        }
        events.held.watch.check(Timestamp::now()).ok()?;
        if let Some((reader, name)) = &mut events.past {
            if let Some(page) = reader.next(gateway).await {
                let page = page.into_iter().map(|numbered| numbered_event(Some(name), numbered));
                events.ready.extend(page);
            } else {
                events.past = None;
                events.ready.extend(events.between.take());
            }
            continue;
        }
        let live = events.live.as_mut()?;
        let received = tokio::select! {
            received = timeout(heartbeat(gateway), live.next()) => received,
            () = gateway.stopping() => return None,
            () = events.held.revocation.revoked() => return None,
        };
        return match received {
            Ok(Some(numbered)) => Some(numbered_event(events.name.as_deref(), numbered)),
            Ok(None) => None,
            Err(_) => Some(Bytes::from_static(COMMENT)),
        };
    }
}
