//! The events of the family.

use super::schema::{McpSessionClosed, McpSessionSnapshot};
use crate::family::{EventKind, schema, wire::Message};

/// Every kind of event that the stream of an MCP session can send.
pub(super) const EVENTS: [EventKind; 3] = [
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
        kind: "closed",
        description: "The session was closed. The stream ends.",
        schema: schema::<McpSessionClosed>,
    },
];
