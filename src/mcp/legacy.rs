//! Messages of MCP clients of the legacy era (MCP 2025-11-25, Streamable HTTP).

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    error::RpcError,
    exchange::{Eras, Exchange, Request},
    listen::watch_resource,
    outcome::Outcome,
    requester::{Requester, filter},
    running::Running,
    sessions,
    translate::{check_method, initialize_result, negotiated, to_modern},
};
use crate::{
    family::{FamilyError, Result, mcp_session},
    gateway::Gateway,
    tunnel::{
        Connection, Era, Permissions, Server,
        message::{self, Members},
        session::{LogLevel, McpClient, Session, SseClient},
    },
};

/// Answers `initialize`, and creates a session. `sse` is the client if it speaks HTTP+SSE.
///
/// # Errors
/// As [`sessions::create`], and [`FamilyError::NotFound`] if the tunnel is not shared with the user any more.
pub async fn initialize(
    gateway: &Arc<Gateway>,
    requester: Requester<'_>,
    server: &Server,
    mut request: Members,
    sse: Option<&SseClient>,
) -> Result<(Arc<Session>, Members)> {
    let id = request.get("id").cloned().unwrap_or_default();
    let mut params = message::into_members(request.remove("params").unwrap_or_default());
    let wanted = params.remove("protocolVersion");
    let version = negotiated(wanted.as_ref().and_then(Value::as_str).unwrap_or_default());
    let client = McpClient { protocol_version: version.to_owned(), params };
    let session =
        sessions::create(gateway, requester.principal, requester.access.tunnel, client, sse)
            .await?;
    if requester.access.revocation.is_revoked() {
        // The share has ended before the session was there to end with it.
        mcp_session::close_disconnected(gateway, session.id).await?;
        return Err(FamilyError::NotFound);
    }
    let mut answer = message::success(id, initialize_result(server, version));
    filter(&requester.access.permissions, "initialize", &mut answer);
    Ok((session, answer))
}

/// Takes a message of a session.
pub fn receive(
    gateway: &Arc<Gateway>,
    requester: Requester<'_>,
    session: &Arc<Session>,
    (connection, server): (&Arc<Connection>, &Server),
    message: Members,
) -> Outcome {
    session.touch();
    if !requester.access.permissions.allows_method("resources/subscribe") {
        session.clear_resources();
    }
    if server.era == Era::Legacy && session.begin_listening(connection.id) {
        restore(gateway, session, connection);
    }
    let Some(method) = message::method(&message).map(str::to_owned) else {
        if let Some(response) = session.answered(message) {
            // The server may have given up in the meantime.
            let _ = connection.answer(session.id, response);
        }
        return Outcome::Accepted;
    };
    let Some(id) = message.get("id").cloned() else {
        let permissions = &requester.access.permissions;
        notify(permissions, session, (connection, server), (&method, &message));
        return Outcome::Accepted;
    };
    let result = request(gateway, requester, session, (connection, server), (&method, message));
    result.unwrap_or_else(|error| Outcome::Answered(error.into_response(id)))
}

/// Subscribes again at a server that has connected again.
fn restore(gateway: &Gateway, session: &Session, connection: &Connection) {
    for uri in session.resources() {
        watch_resource(gateway, connection, session.caller(), ("resources/subscribe", &uri));
    }
}

fn notify(
    permissions: &Permissions,
    session: &Session,
    (connection, server): (&Connection, &Server),
    (method, message): (&str, &Members),
) {
    match method {
        "notifications/cancelled" => {
            if let Some(id) = message::member(message, &["params", "requestId"]) {
                session.cancel(id);
                connection.cancel(session.id, id);
            }
        }
        // The gateway has initialized the server itself.
        "notifications/initialized" => {}
        _ if server.era == Era::Legacy && permissions.allows_method(method) => {
            // A client that takes nothing will be found by the probe.
            let _ = connection.notify(message);
        }
        _ => {}
    }
}

fn request(
    gateway: &Arc<Gateway>,
    requester: Requester<'_>,
    session: &Arc<Session>,
    (connection, server): (&Arc<Connection>, &Server),
    (method, mut message): (&str, Members),
) -> std::result::Result<Outcome, RpcError> {
    check_method(method, false)?;
    let tool_call = requester.permit(gateway, &mut message)?;
    let id = message.get("id").cloned().unwrap_or_default();
    let done = |id: &Value| Ok(Outcome::Answered(message::success(id.clone(), json!({}))));
    let param = |message: &Members, name: &str| {
        let value = message::member(message, &["params", name])?.as_str()?;
        Some(value.to_owned())
    };
    let is_legacy = server.era == Era::Legacy;
    match method {
        "ping" => return done(&id),
        "logging/setLevel" => {
            let level = param(&message, "level").and_then(|level| LogLevel::from_name(&level));
            let level = level.ok_or_else(|| {
                RpcError::new(RpcError::INVALID_PARAMS, "params.level must be the name of a level")
            })?;
            session.set_log_level(level);
            if !is_legacy {
                return done(&id);
            }
            // The level of the server is that of all sessions. Each session gets its own lines.
            let lowest = gateway.tunnels.sessions.log_level(session.tunnel);
            if let Some(place) = message::member_mut(&mut message, &["params", "level"]) {
                *place = lowest.name().into();
            }
        }
        "resources/subscribe" | "resources/unsubscribe" => {
            let uri = param(&message, "uri").ok_or_else(|| {
                RpcError::new(RpcError::INVALID_PARAMS, "params.uri must be a string")
            })?;
            let is_subscribe = method == "resources/subscribe";
            if !session.set_subscribed(uri.clone(), is_subscribe) {
                let reason = "the session has too many subscriptions, or the URI is too long";
                return Err(RpcError::new(RpcError::INVALID_PARAMS, reason));
            }
            let sessions = &gateway.tunnels.sessions;
            let others = sessions.is_subscribed(session.tunnel, &uri, Some(session.id))
                || connection.watched.has(&uri);
            if !is_legacy || (!is_subscribe && others) {
                return done(&id);
            }
        }
        _ => {}
    }
    let idle = Some(connection.settings.request_time);
    let (caller, level) = (session.caller(), Some(session.log_level()));
    let eras = if is_legacy {
        Eras::Same
    } else {
        let meta = session.client.modern_meta(&server.protocol_version);
        to_modern(&mut message, meta, session.log_level());
        Eras::LegacyClient { session: Arc::clone(session), request: message.clone() }
    };
    let call = connection.call(caller, message, idle)?;
    let Requester { access, .. } = requester;
    let permissions = access.permissions.clone();
    let request = Request {
        caller,
        id: id.clone(),
        method: method.to_owned(),
        target: None,
        permissions,
        tool_call,
    };
    let exchange = Exchange::new(call, Arc::clone(connection), request, level, eras);
    Ok(Outcome::Running(Running::exchange(exchange, id, &access.revocation)))
}
