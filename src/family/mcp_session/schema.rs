//! MCP sessions on the wire.

use entity::{Timestamp, mcp_session};
use poem_openapi::{Enum, Object, types::Example};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::family::oauth::requires;
use crate::family::wire::{Message, ResetReason, Text, example_id, example_time};

/// An MCP session to create.
#[derive(Object)]
#[oai(example, deny_unknown_fields)]
pub struct NewMcpSession {
    /// Display name, 1 to 128 characters.
    #[oai(validator(min_length = 1, max_length = 128, pattern = r"^[^\x00-\x1f\x7f]+$"))]
    pub name: Option<Text>,
    /// Id of the agent that serves the session: a user with the role agent or higher. This agent may publish and watch,
    /// like the owner. If absent, every agent may publish, and no agent may watch.
    pub agent: Option<Uuid>,
    /// Names of the OAuth providers at which the owner must have a grant, at most 8. Without a valid grant, the response
    /// is 401 with an `authorization_url`, also when the stream is opened.
    #[oai(validator(max_items = 8))]
    pub requires: Option<Vec<String>>,
}

impl Example for NewMcpSession {
    fn example() -> Self {
        Self { name: Some("notebook".into()), agent: Some(example_id()), requires: None }
    }
}

/// Status of an MCP session.
#[derive(Clone, Copy, Enum)]
#[oai(rename_all = "snake_case")]
pub enum McpSessionStatus {
    /// The session accepts messages.
    Open,
    /// The session has ended.
    Closed,
}

/// An MCP session.
#[derive(Object)]
#[oai(example, skip_serializing_if_is_none)]
pub struct McpSession {
    /// MCP session id.
    pub id: Uuid,
    /// Id of the user that the session belongs to.
    pub owner: Uuid,
    /// Id of the agent that serves the session. Absent if every agent may publish.
    pub agent: Option<Uuid>,
    /// Display name. Absent if none was given.
    pub name: Option<String>,
    /// Id of the tunnel that the session uses. Absent for a session between a client and an agent.
    pub tunnel: Option<Uuid>,
    /// Names of the OAuth providers at which the owner must have a grant. Absent if there are none.
    pub requires: Option<Vec<String>>,
    /// Status of the session: `open` if it accepts messages, `closed` after its end.
    pub status: McpSessionStatus,
    /// Time of creation, UTC.
    pub created_at: OffsetDateTime,
    /// Time at which the session was closed, UTC. Absent before.
    pub closed_at: Option<OffsetDateTime>,
}

impl From<mcp_session::Model> for McpSession {
    fn from(row: mcp_session::Model) -> Self {
        let status = match row.closed_at {
            Some(_) => McpSessionStatus::Closed,
            None => McpSessionStatus::Open,
        };
        Self {
            id: row.id,
            owner: row.owner_id,
            agent: row.agent_id,
            name: row.name,
            tunnel: row.tunnel_id,
            requires: requires(row.requires.as_ref()),
            status,
            created_at: row.created_at.datetime(),
            closed_at: row.closed_at.map(Timestamp::datetime),
        }
    }
}

impl Example for McpSession {
    fn example() -> Self {
        Self {
            id: example_id(),
            owner: example_id(),
            agent: Some(example_id()),
            name: Some("notebook".to_owned()),
            tunnel: Some(example_id()),
            requires: Some(vec!["github".to_owned()]),
            status: McpSessionStatus::Closed,
            created_at: example_time(),
            closed_at: Some(example_time()),
        }
    }
}

/// The position of a published message.
#[derive(Object)]
#[oai(example)]
pub struct PublishedMessage {
    /// Cursor of the message: the `id` of its event.
    pub cursor: String,
}

impl Example for PublishedMessage {
    fn example() -> Self {
        Self { cursor: "2f1a3b9c-42-5d8e01f7".to_owned() }
    }
}

/// The data of a `snapshot` event: the session after all events up to the event's `id`.
#[derive(Object)]
#[oai(example, skip_serializing_if_is_none)]
pub struct McpSessionSnapshot {
    /// The session, without its messages. The operation `List MCP session events` returns earlier messages.
    pub session: McpSession,
    /// Reason why the stream starts over. Absent if it does not start over.
    pub reset: Option<ResetReason>,
}

impl Example for McpSessionSnapshot {
    fn example() -> Self {
        Self { session: McpSession::example(), reset: None }
    }
}

/// The data of a `transport.message` event: a message of an SSE stream of a session that uses a tunnel.
#[derive(Object)]
#[oai(example)]
pub struct TransportMessage {
    /// Name of the SSE stream, unique in the session.
    pub stream: String,
    /// Number of the message in its stream. `stream-number` is the id of its SSE event.
    pub number: u64,
    /// The message.
    pub message: Message,
}

impl Example for TransportMessage {
    fn example() -> Self {
        Self { stream: "get".to_owned(), number: 1, message: Message::example() }
    }
}

/// Reason why an MCP session was closed.
#[derive(Clone, Copy, Enum)]
#[oai(rename_all = "snake_case")]
pub enum CloseReason {
    /// The owner or an administrator closed the session, or the owner was deleted.
    Deleted,
    /// The session had no message for `mcp_sessions.idle_seconds` of the configuration, and no client watched it.
    Idle,
    /// The tunnel of the session was deleted, or is not shared with its owner any more.
    TunnelRevoked,
    /// The client has disconnected, and its transport (HTTP+SSE) cannot resume.
    Disconnected,
}

/// The data of a `closed` event. No event follows.
#[derive(Object)]
#[oai(example)]
pub struct McpSessionClosed {
    /// The session after it was closed.
    pub session: McpSession,
    /// Reason why the session was closed.
    pub reason: CloseReason,
}

impl Example for McpSessionClosed {
    fn example() -> Self {
        Self { session: McpSession::example(), reason: CloseReason::Deleted }
    }
}
