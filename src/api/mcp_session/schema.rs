//! MCP sessions on the wire.

use entity::{Timestamp, mcp_session};
use poem_openapi::{Enum, Object, types::Example};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::api::{example_id, example_time, text::Text};

/// A session to be made.
#[derive(Object)]
#[oai(example, deny_unknown_fields)]
pub(super) struct NewMcpSession {
    /// A name for people.
    #[oai(validator(min_length = 1, max_length = 128, pattern = r"^[^\x00-\x1f\x7f]+$"))]
    pub(super) name: Option<Text>,
    /// The id of the one agent that is to serve it, and may watch it as its owner may. If absent, any
    /// agent may publish, and none may watch.
    pub(super) agent: Option<Uuid>,
}

impl Example for NewMcpSession {
    fn example() -> Self {
        Self { name: Some("notebook".into()), agent: Some(example_id()) }
    }
}

/// Where an MCP session stands.
#[derive(Clone, Copy, Enum)]
#[oai(rename_all = "snake_case")]
pub(super) enum McpSessionStatus {
    /// Takes messages.
    Open,
    /// Has ended.
    Closed,
}

/// An MCP session.
#[derive(Object)]
#[oai(example, skip_serializing_if_is_none)]
pub(super) struct McpSession {
    /// Its id.
    pub(super) id: Uuid,
    /// Whose it is.
    pub(super) owner: Uuid,
    /// The agent that serves it, if one was named.
    pub(super) agent: Option<Uuid>,
    /// Its name.
    pub(super) name: Option<String>,
    /// Where it stands.
    pub(super) status: McpSessionStatus,
    /// When it was made.
    pub(super) created_at: OffsetDateTime,
    /// When it was closed.
    pub(super) closed_at: Option<OffsetDateTime>,
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
            status: McpSessionStatus::Closed,
            created_at: example_time(),
            closed_at: Some(example_time()),
        }
    }
}

/// A message that was published.
#[derive(Object)]
#[oai(example)]
pub(super) struct PublishedMessage {
    /// Its cursor: the `id` of its event.
    pub(super) cursor: String,
}

impl Example for PublishedMessage {
    fn example() -> Self {
        Self { cursor: "2f1a3b9c-42-5d8e01f7".to_owned() }
    }
}

/// The first event of a stream: the state at one moment, which its `id` names.
#[derive(Object)]
#[oai(example, skip_serializing_if_is_none)]
pub(super) struct McpSessionSnapshot {
    /// The session. Messages from before this moment are on the event page.
    pub(super) session: McpSession,
    /// Why the stream starts over: `unknown_cursor` (your cursor is not one of this stream's), `pruned`
    /// (the events after it are no longer kept) or `replaced` (the database was restored from a
    /// backup, and other events have the numbers of those that you saw). Drop what you have and begin
    /// with this state. Absent in every other snapshot.
    pub(super) reset: Option<String>,
}

impl Example for McpSessionSnapshot {
    fn example() -> Self {
        Self { session: McpSession::example(), reset: None }
    }
}

/// Why a session was closed.
#[derive(Clone, Copy, Enum)]
#[oai(rename_all = "snake_case")]
pub(super) enum ClosedBecause {
    /// Its owner or an administrator wanted it.
    Deleted,
    /// Nobody said anything or listened for too long.
    Idle,
}

/// A session was closed: nothing follows.
#[derive(Object)]
#[oai(example)]
pub(super) struct McpSessionClosed {
    /// The session as it is now.
    pub(super) session: McpSession,
    /// Why.
    pub(super) reason: ClosedBecause,
}

impl Example for McpSessionClosed {
    fn example() -> Self {
        Self { session: McpSession::example(), reason: ClosedBecause::Deleted }
    }
}
