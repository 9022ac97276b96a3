//! Server-sent events of the MCP endpoint.

use std::{collections::VecDeque, io, sync::Arc, time::Duration};

use bytes::Bytes;
use entity::Timestamp;
use futures_util::stream;
use poem::Body;
use tokio::time::timeout;

use crate::{
    auth::login_session::SessionWatch,
    event,
    gateway::Gateway,
    limit::Slot,
    mcp::{Item, Running},
    tunnel::{
        message::{self, Members},
        queue::Receiver,
        session::Numbered,
    },
};

/// A comment, which keeps an idle connection open.
const COMMENT: &[u8] = b":\n";

/// The slot of the user and the watch of the login session, which a body holds until it ends.
pub(super) struct Held {
    pub(super) watch: SessionWatch,
    /// Absent for the answer to a POST, because the requests in flight have their own limit.
    pub(super) _slot: Option<Slot>,
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

/// An event with a message that a client can resume after.
fn numbered_event(stream: &str, Numbered { number, message }: Numbered) -> Bytes {
    let data = event::one_line(message);
    Bytes::from(format!("event: message\ndata: {data}\nid: {stream}-{number}\n\n"))
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

/// The events of a stream of a session: `past` first, then those of `live`.
pub(super) fn session_body(
    gateway: &Arc<Gateway>,
    stream: String,
    first: Option<Bytes>,
    past: Vec<Numbered>,
    live: Option<Receiver<Numbered>>,
    held: Held,
) -> Body {
    let heartbeat = heartbeat(gateway);
    let past = past.into_iter().map(|numbered| numbered_event(&stream, numbered));
    let ready: VecDeque<Bytes> = first.into_iter().chain(past).collect();
    let gateway = Arc::clone(gateway);
    let state = (ready, live, stream, held, gateway);
    Body::from_bytes_stream(stream::unfold(
        state,
        move |(mut ready, live, name, held, gateway)| async move {
            if let Some(bytes) = ready.pop_front() {
                return Some((Ok::<_, io::Error>(bytes), (ready, live, name, held, gateway)));
            }
            let mut live = live?;
            held.watch.check(Timestamp::now()).ok()?;
            let next = tokio::select! {
                next = timeout(heartbeat, live.next()) => next,
                () = gateway.stopping() => return None,
            };
            let bytes = match next {
                Ok(Some(numbered)) => numbered_event(&name, numbered),
                Ok(None) => return None,
                Err(_) => Bytes::from_static(COMMENT),
            };
            Some((Ok(bytes), (ready, Some(live), name, held, gateway)))
        },
    ))
}
