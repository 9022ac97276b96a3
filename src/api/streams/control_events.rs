//! The events that every stream can send, whatever its family.

use poem_openapi::{Object, types::Example};

use crate::{
    api::problem,
    family::{EventKind, schema},
};

/// The end of a stream.
#[derive(Object)]
#[oai(rename = "StreamClosed", example)]
pub(in crate::api) struct StreamClosed {
    /// Reason why the stream ended: `completed`, `max_seconds`, `overflow`, `disconnected`,
    /// `replaced`, `session_expired`, `session_revoked`, `user_disabled`, `role_lowered` or `shutdown`.
    reason: String,
}

impl Example for StreamClosed {
    fn example() -> Self {
        Self { reason: "completed".to_owned() }
    }
}

/// Events that the stream dropped because of its overflow strategy.
#[derive(Object)]
#[oai(rename = "StreamDropped", example)]
pub(in crate::api) struct StreamDropped {
    /// Number of dropped events. All of them are older than the next event.
    count: u64,
}

impl Example for StreamDropped {
    fn example() -> Self {
        Self { count: 17 }
    }
}

/// The coming end of the login session.
#[derive(Object)]
#[oai(rename = "StreamExpiring", example)]
pub(in crate::api) struct StreamExpiring {
    /// Time until the login session, the API key or the external token ends, in seconds, rounded up.
    in_seconds: u64,
}

impl Example for StreamExpiring {
    fn example() -> Self {
        Self { in_seconds: 60 }
    }
}

/// The control event with a cursor. A client that resumes after it does not get the dropped events either.
pub(in crate::api) const DROPPED: EventKind = EventKind {
    kind: "stream.dropped",
    description: "The client was too slow, and the stream dropped events. See `overflow`.",
    schema: schema::<StreamDropped>,
};

/// The control events without a cursor.
pub(in crate::api) const CONTROL_EVENTS: [EventKind; 3] = [
    EventKind {
        kind: "stream.expiring",
        description: "The login session ends soon. A client that refreshes it in time keeps the stream, without a gap.",
        schema: schema::<StreamExpiring>,
    },
    EventKind {
        kind: "stream.closed",
        description: "The gateway ended the stream.",
        schema: schema::<StreamClosed>,
    },
    EventKind {
        kind: "error",
        description: "The stream failed, or a request with `on_refusal=event` was refused.",
        schema: schema::<problem::Body>,
    },
];
