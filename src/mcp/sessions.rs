//! The sessions of MCP clients of the legacy era: in memory, and in the database for the time after a restart.

use std::sync::Arc;

use uuid::Uuid;

use crate::{
    auth::login_session::Principal,
    family::{FamilyError, Result, mcp_session},
    gateway::Gateway,
    hub::PublishError,
    tunnel::{
        queue::Receiver,
        session::{ForLog, McpClient, Session, SseClient},
    },
};

/// The reason for which a client that speaks HTTP+SSE gets no session.
const ALREADY: &str = "came already, or the client has disconnected";

/// Messages that one transaction writes.
const BATCH: usize = 256;

/// Creates a session. `sse` is the client if it speaks HTTP+SSE.
///
/// # Errors
/// [`FamilyError::BadInput`] if the client describes itself with too much text, has a session already, or has disconnected.
pub async fn create(
    gateway: &Arc<Gateway>,
    principal: &Principal,
    tunnel: Uuid,
    client: McpClient,
    sse: Option<&SseClient>,
) -> Result<Arc<Session>> {
    if crate::tunnel::message::text(&client.params).len() > mcp_session::MAX_CLIENT {
        let reason = format!("more than {} bytes as JSON", mcp_session::MAX_CLIENT);
        return Err(FamilyError::bad_input("params", reason));
    }
    let id = mcp_session::create_for_tunnel(gateway, principal, tunnel, &client).await?;
    let of = (tunnel, principal.user_id);
    let Some(sse) = sse else { return Ok(begin(gateway, id, of, client)) };
    let session = add(gateway, Session::without_log(id, of, client, &sse.stream));
    if !sse.set_session(&session) {
        mcp_session::close_disconnected(gateway, id).await?;
        return Err(FamilyError::bad_input("initialize", ALREADY));
    }
    Ok(session)
}

/// The open session with this id, if it belongs to this user and this tunnel.
pub async fn find(
    gateway: &Arc<Gateway>,
    principal: &Principal,
    tunnel: Uuid,
    id: Uuid,
) -> Result<Option<Arc<Session>>> {
    let user = principal.user_id;
    if let Some(session) = gateway.tunnels.sessions.find(id) {
        let is_own = session.user == user && session.tunnel == tunnel && session.has_log();
        return Ok(is_own.then_some(session));
    }
    // After a restart of the gateway.
    let client = mcp_session::find_client(gateway, user, tunnel, id).await?;
    Ok(client.map(|client| begin(gateway, id, (tunnel, user), client)))
}

fn begin(gateway: &Arc<Gateway>, id: Uuid, of: (Uuid, Uuid), client: McpClient) -> Arc<Session> {
    let (session, messages) = Session::new(id, of, client);
    let kept = add(gateway, Arc::clone(&session));
    if Arc::ptr_eq(&kept, &session) {
        gateway.spawn(write_log(Arc::clone(gateway), id, messages));
    }
    kept
}

/// Adds a session to those in memory. Returns the one that is there already, if there is one.
fn add(gateway: &Gateway, session: Arc<Session>) -> Arc<Session> {
    let id = session.id;
    let kept = gateway.tunnels.sessions.insert(session);
    if gateway.is_stopping() {
        gateway.tunnels.sessions.end(id);
    }
    kept
}

/// Writes the messages of a session to its event log, until the session and its streams are gone.
async fn write_log(gateway: Arc<Gateway>, session: Uuid, mut messages: Receiver<ForLog>) {
    while let Some(first) = messages.next().await {
        let (mut events, mut written) = (Vec::new(), Vec::new());
        let mut next = Some(first);
        while let Some(message) = next {
            match message {
                ForLog::Entry(entry) => events.extend(mcp_session::transport_event(&entry).ok()),
                ForLog::Flush(sender) => written.push(sender),
            }
            next = if events.len() < BATCH { messages.try_next() } else { None };
        }
        if !events.is_empty()
            && let Err(error) = gateway.hub.publish(mcp_session::topic(session), events).await
        {
            tracing::warn!(%session, %error, "messages of an MCP session were not kept");
            if let PublishError::Refused(_) = error {
                // Another gateway has closed the session.
                gateway.tunnels.sessions.end(session);
            }
        }
        for sender in written {
            // The client may be gone.
            let _ = sender.send(());
        }
    }
}
