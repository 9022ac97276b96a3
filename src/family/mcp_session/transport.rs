//! The MCP sessions of clients that use a tunnel: their rows, and the messages of their SSE streams.

use entity::mcp_session;
use sea_orm::{ActiveModelTrait, EntityTrait, IntoActiveModel};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    events::TRANSPORT_MESSAGE,
    rows::{resource, topic},
    schema::TransportMessage,
};
use crate::{
    auth::login_session::Principal,
    event::{Cursor, Event, MAX_DATA, NewEvent, Topic},
    event_log::ReadLimit,
    family::{Result, new_event, wire::Message},
    gateway::Gateway,
    json,
    tunnel::{
        message::{self, INTERNAL_ERROR, Members},
        session::{LogEntry, McpClient, Numbered},
    },
};

/// Longest text with which a client can describe itself, in bytes.
pub const MAX_CLIENT: usize = 16_384;

/// The events that one read of the log returns.
const PAGE: ReadLimit = ReadLimit { events: 200, bytes: 1 << 20 };

/// Creates the session of a client that uses a tunnel.
pub async fn create_for_tunnel(
    gateway: &Gateway,
    principal: &Principal,
    tunnel: Uuid,
    client: &McpClient,
) -> Result<Uuid> {
    let lookup = gateway.visibility.start_lookup();
    let tx = gateway.database.begin_write().await?;
    let stored = json!({ "protocolVersion": client.protocol_version, "params": client.params });
    let name = message::member(&client.params, &["clientInfo", "name"]).and_then(Value::as_str);
    let row = mcp_session::Model {
        id: Uuid::now_v7(),
        owner_id: principal.user_id,
        agent_id: None,
        name: name.map(|name| name.chars().filter(|it| !it.is_control()).take(128).collect()),
        tunnel_id: Some(tunnel),
        client: Some(json::text(&stored).into()),
        requires: None,
        created_at: gateway.clock.now(),
        closed_at: None,
    };
    let row = row.into_active_model().insert(&tx).await?;
    gateway.hub.log().create(&tx, &topic(row.id)).await?;
    gateway.hub.commit(tx, Vec::new()).await?;
    gateway.visibility.insert(topic(row.id), resource(&row), lookup);
    Ok(row.id)
}

/// The client of an open session of this user and this tunnel. `None` if there is none.
pub async fn find_client(
    gateway: &Gateway,
    user: Uuid,
    tunnel: Uuid,
    id: Uuid,
) -> Result<Option<McpClient>> {
    let row = mcp_session::Entity::find_by_id(id).one(gateway.database.reader()).await?;
    let is_own = |row: &mcp_session::Model| {
        row.owner_id == user && row.tunnel_id == Some(tunnel) && row.closed_at.is_none()
    };
    let stored = row.filter(is_own).and_then(|row| row.client);
    let stored = stored.and_then(|text| json::parse(text.as_str().as_bytes()).ok());
    Ok(stored.map(message::into_members).and_then(|mut stored| {
        let protocol_version = stored.get("protocolVersion")?.as_str()?.to_owned();
        let params = message::into_members(stored.remove("params")?);
        Some(McpClient { protocol_version, params })
    }))
}

/// The event of a message on an SSE stream. A message that is too large for an event becomes an error that says so.
pub fn transport_event(entry: &LogEntry) -> Result<NewEvent> {
    let LogEntry { stream, numbered: Numbered { number, message } } = entry;
    let parsed = message::into_members(json::parse(message.as_bytes()).unwrap_or_default());
    let event = |message: Members| {
        let (stream, number) = (stream.clone(), *number);
        new_event(
            TRANSPORT_MESSAGE,
            &TransportMessage { stream, number, message: Message(message) },
        )
    };
    // The data also has the name of the stream and the number.
    if message.len() <= MAX_DATA - 256
        && let Ok(event) = event(parsed.clone())
    {
        return Ok(event);
    }
    let id = parsed.get("id").cloned().unwrap_or_default();
    let reason = "this message was too large to be kept for a client that resumes";
    event(message::failure(id, INTERNAL_ERROR, reason))
}

/// Reads the messages of an SSE stream from the event log, some at a time.
pub struct StreamReader {
    topic: Topic,
    stream: String,
    /// The numbers after the first and up to the second.
    numbers: (u64, u64),
    /// The position in the log. Absent before the first read.
    position: Option<Cursor>,
    has_ended: bool,
}

impl StreamReader {
    /// Begins after the message `after`, and ends with the message `until`.
    #[must_use]
    pub fn new(session: Uuid, stream: String, (after, until): (u64, u64)) -> Self {
        let numbers = (after, until);
        Self { topic: topic(session), stream, numbers, position: None, has_ended: false }
    }

    /// The next messages. `None` after the last ones. A log that was pruned or cannot be read ends the messages, and the
    /// client can resume again.
    pub async fn next(&mut self, gateway: &Gateway) -> Option<Vec<Numbered>> {
        if self.has_ended {
            return None;
        }
        let log = gateway.hub.log();
        let page = match self.position {
            None => log.oldest(&self.topic, PAGE).await.map(|(_, page)| page),
            Some(position) => log.after(&self.topic, position, PAGE).await,
        };
        let Ok(page) = page else {
            self.has_ended = true;
            return None;
        };
        self.position = page.events.last().map(|event| event.cursor).or(self.position);
        self.has_ended = !page.has_more;
        let found = page.events.iter().filter_map(|event| self.message(event));
        Some(found.collect())
    }

    fn message(&self, event: &Event) -> Option<Numbered> {
        if event.kind != TRANSPORT_MESSAGE {
            return None;
        }
        let data = json::parse(event.data.as_bytes()).ok()?;
        let number = data.get("number")?.as_u64()?;
        let (after, until) = self.numbers;
        let is_wanted = data.get("stream")? == self.stream.as_str()
            && (after.saturating_add(1)..=until).contains(&number);
        is_wanted.then(|| Numbered { number, message: json::text(&data["message"]) })
    }
}
