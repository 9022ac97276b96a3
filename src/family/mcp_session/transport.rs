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
    event::{MAX_DATA, NewEvent},
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

/// Bytes of events that one read of the log returns.
const READ_BYTES: usize = 4 << 20;

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

/// The messages of an SSE stream after `after` and up to `until`, from the event log.
pub async fn read_stream(
    gateway: &Gateway,
    session: Uuid,
    stream: &str,
    (after, until): (u64, u64),
) -> Result<Vec<Numbered>> {
    let (topic, log) = (topic(session), gateway.hub.log());
    let most = ReadLimit { events: 1_000, bytes: READ_BYTES };
    let mut found = Vec::new();
    let Ok((_, mut page)) = log.oldest(&topic, most).await else { return Ok(found) };
    loop {
        for event in page.events.iter().filter(|event| event.kind == TRANSPORT_MESSAGE) {
            let data = json::parse(event.data.as_bytes()).unwrap_or_default();
            let number = data.get("number").and_then(Value::as_u64).unwrap_or_default();
            if data.get("stream").is_some_and(|name| name == stream)
                && (after + 1..=until).contains(&number)
                && let Some(message) = data.get("message")
            {
                found.push(Numbered { number, message: json::text(message) });
            }
        }
        let Some(last) = page.events.last().filter(|_| page.has_more) else { return Ok(found) };
        // The log was pruned in the meantime.
        let Ok(next) = log.after(&topic, last.cursor, most).await else { return Ok(found) };
        page = next;
    }
}
