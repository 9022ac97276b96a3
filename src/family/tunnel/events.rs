//! The events of the family.

use super::schema::{TunnelChanged, TunnelDisconnected, TunnelSnapshot};
use crate::family::{EventKind, schema, wire::Message};

/// The tunnel client has connected.
pub(super) const CONNECTED: &str = "tunnel.connected";
/// The handshake with the MCP server has succeeded.
pub(super) const INITIALIZED: &str = "tunnel.initialized";
/// The tunnel client is away.
pub(super) const DISCONNECTED: &str = "tunnel.disconnected";
/// The tunnel was deleted.
pub(super) const DELETED: &str = "tunnel.deleted";
/// A message of the MCP server.
pub(super) const MESSAGE: &str = "message";

/// Every kind of event that the stream of a tunnel can send.
pub(super) const EVENTS: [EventKind; 6] = [
    EventKind {
        kind: "snapshot",
        description: "The tunnel. The first event, unless the stream resumes after a cursor.",
        schema: schema::<TunnelSnapshot>,
    },
    EventKind {
        kind: CONNECTED,
        description: "The tunnel client has connected.",
        schema: schema::<TunnelChanged>,
    },
    EventKind {
        kind: INITIALIZED,
        description: "The MCP server has answered the handshake. Requests get answers from now on.",
        schema: schema::<TunnelChanged>,
    },
    EventKind {
        kind: MESSAGE,
        description: "A JSON-RPC message of the MCP server: the answer to a request that was sent with \
                      `wait=false`, or a notification that belongs to no request.",
        schema: schema::<Message>,
    },
    EventKind {
        kind: DISCONNECTED,
        description: "The tunnel client is away. The tunnel stays, and the client gets it again.",
        schema: schema::<TunnelDisconnected>,
    },
    EventKind {
        kind: DELETED,
        description: "The tunnel was deleted. The stream ends.",
        schema: schema::<TunnelChanged>,
    },
];
