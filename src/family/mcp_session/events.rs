//! The events of the family.

use super::schema::{McpSessionClosed, McpSessionSnapshot, TransportMessage};
use crate::family::{EventKind, schema, wire::Message};

/// A message on an SSE stream of a session that uses a tunnel.
pub(super) const TRANSPORT_MESSAGE: &str = "transport.message";

/// Every kind of event that the stream of an MCP session can send.
pub(super) const EVENTS: [EventKind; 4] = [
    EventKind {
        kind: "snapshot",
        description: "The session. The first event, unless the stream resumes after a cursor.",
        schema: schema::<McpSessionSnapshot>,
    },
    EventKind {
        kind: "message",
        description: "A JSON-RPC message, as it was published. A client also receives the messages that \
                      it published itself.",
        schema: schema::<Message>,
    },
    EventKind {
        kind: TRANSPORT_MESSAGE,
        description: "A message that a client of a tunnel got on an SSE stream of its session, for a client \
                      that resumes this stream.",
        schema: schema::<TransportMessage>,
    },
    EventKind {
        kind: "closed",
        description: "The session was closed. The stream ends.",
        schema: schema::<McpSessionClosed>,
    },
];
