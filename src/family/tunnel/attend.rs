//! Attends a connected tunnel client until it is away: the handshake, the messages that belong to no request, the probe.

use std::{sync::Arc, time::Duration};

use entity::{JsonText, tunnel};
use poem_openapi::types::{ParseError, ParseFromJSON};
use sea_orm::{ActiveModelTrait, ActiveValue::Set};
use serde_json::Value;
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    time::{interval, sleep, timeout},
};

use super::{
    events::{INITIALIZED, MESSAGE},
    rows::{disconnect_locked, lock, topic},
    schema::TunnelChanged,
};
use crate::{
    family::{Result, new_event, wire::Message},
    gateway::Gateway,
    json,
    tunnel::{
        Connection, Disconnect, HandshakeError, Registration, Server, handshake,
        message::{self, Members},
        probe,
    },
};

/// Largest text with which a server can describe itself, in bytes.
const MAX_SERVER_INFO: usize = 4_096;

/// Time that a client has to register.
const REGISTER_TIME: Duration = Duration::from_secs(30);

/// Attends a client until it is away. Then records that it is.
pub async fn attend(gateway: &Gateway, connection: &Arc<Connection>) {
    let unasked = connection.listen();
    let reason = tokio::select! {
        reason = connection.closed() => reason,
        reason = serve(gateway, connection, unasked) => {
            connection.close(reason);
            connection.closed().await
        }
    };
    gateway.tunnels.remove(connection);
    tracing::info!(tunnel = %connection.tunnel, ?reason, "tunnel client disconnected");
    if let Err(error) = disconnect(gateway, connection, reason).await {
        // The heartbeat finds it later.
        tracing::warn!(tunnel = %connection.tunnel, %error, "a disconnected tunnel client was not recorded");
    }
}

/// Returns when the gateway should close the connection.
async fn serve(
    gateway: &Gateway,
    connection: &Arc<Connection>,
    unasked: Receiver<Arc<str>>,
) -> Disconnect {
    let Ok(Some(registration)) = timeout(REGISTER_TIME, connection.registered()).await else {
        return Disconnect::Protocol;
    };
    let server = match handshake(connection).await {
        Ok(server) => connection.set_server(server),
        Err(error) => {
            tracing::warn!(tunnel = %connection.tunnel, %error, "no handshake with the MCP server");
            return match error {
                HandshakeError::Refused(_) => Disconnect::Protocol,
                HandshakeError::Call(_) => Disconnect::Unresponsive,
            };
        }
    };
    if let Err(error) = initialized(gateway, connection, registration, &server).await {
        tracing::warn!(tunnel = %connection.tunnel, %error, "the MCP server of a tunnel was not recorded");
    }
    tokio::select! {
        () = publish_unasked(gateway, connection, unasked) => Disconnect::ConnectionLost,
        () = until_mute(connection, &server) => Disconnect::Unresponsive,
    }
}

/// Records the MCP server in the row, and publishes the event.
async fn initialized(
    gateway: &Gateway,
    connection: &Connection,
    registration: Registration,
    server: &Server,
) -> Result<()> {
    let tx = gateway.database.begin_write().await?;
    let row = lock(&tx, connection.tunnel).await?;
    if row.is_none_or(|row| row.connection != connection.id) {
        return Ok(tx.rollback().await?);
    }
    // A long description must not make a list large.
    let info = server.info().filter(|info| info.is_object()).map(json::text);
    let info = info.filter(|info| info.len() <= MAX_SERVER_INFO).map(JsonText::from);
    let change = tunnel::ActiveModel {
        id: Set(connection.tunnel),
        description: Set(registration.description),
        server_info: Set(info),
        protocol_version: Set(Some(server.protocol_version.clone())),
        ..Default::default()
    };
    let tunnel = change.update(&tx).await?.into();
    let event = new_event(INITIALIZED, &TunnelChanged { tunnel })?;
    let events = gateway.hub.log().append(&tx, &topic(connection.tunnel), vec![event]).await?;
    Ok(gateway.hub.commit(tx, events).await?)
}

/// Publishes the messages that belong to no request. Returns when the connection ends.
async fn publish_unasked(
    gateway: &Gateway,
    connection: &Connection,
    mut unasked: Receiver<Arc<str>>,
) {
    loop {
        match unasked.recv().await {
            Ok(message) => {
                let message = message::parse(&message);
                gateway.tunnels.sessions.send_unasked(connection.tunnel, &message);
                publish(gateway, connection, message).await;
            }
            Err(RecvError::Lagged(lost)) => connection.lost_unasked(lost),
            Err(RecvError::Closed) => return,
        }
    }
}

/// Publishes a message of the MCP server on the topic of the tunnel. A message that is no JSON-RPC, or too large for an
/// event, is dropped.
pub(super) async fn publish(gateway: &Gateway, connection: &Connection, message: Members) -> bool {
    let published = async {
        let message = Message::parse_from_json(Some(Value::Object(message)))
            .map_err(ParseError::into_message)?;
        let event = new_event(MESSAGE, &message).map_err(|error| error.to_string())?;
        let published = gateway.hub.publish(topic(connection.tunnel), vec![event]).await;
        published.map_err(|error| error.to_string())
    };
    match published.await {
        Ok(_) => true,
        Err(reason) => {
            connection.lost_unasked(1);
            tracing::warn!(tunnel = %connection.tunnel, reason, "a message of an MCP server was not published");
            false
        }
    }
}

/// Returns when the MCP server does not answer any more. A server that sends messages is not probed.
async fn until_mute(connection: &Connection, server: &Server) {
    let unresponsive = connection.settings.unresponsive;
    loop {
        let silence = connection.silence();
        if let Some(rest) = unresponsive.checked_sub(silence).filter(|rest| !rest.is_zero()) {
            sleep(rest).await;
        } else if let Err(error) = probe(connection, server).await {
            tracing::warn!(tunnel = %connection.tunnel, %error, "the MCP server does not answer");
            return;
        }
    }
}

/// Records that the client is away, unless a later connection has the tunnel. Tries again for some seconds if the
/// database fails.
async fn disconnect(gateway: &Gateway, connection: &Connection, reason: Disconnect) -> Result<()> {
    let mut ticks = interval(Duration::from_secs(1));
    let mut tries = 0;
    loop {
        ticks.tick().await;
        tries += 1;
        match try_disconnect(gateway, connection, reason).await {
            Err(_) if tries < 3 && !gateway.is_stopping() => {}
            ended => return ended,
        }
    }
}

async fn try_disconnect(
    gateway: &Gateway,
    connection: &Connection,
    reason: Disconnect,
) -> Result<()> {
    let tx = gateway.database.begin_write().await?;
    let row = lock(&tx, connection.tunnel).await?;
    let Some(row) = row.filter(|row| row.connection == connection.id && row.gateway.is_some())
    else {
        return Ok(tx.rollback().await?);
    };
    let traffic = connection.traffic();
    let events = disconnect_locked(gateway, &tx, row, stored(reason), traffic).await?;
    Ok(gateway.hub.commit(tx, events).await?)
}

fn stored(reason: Disconnect) -> tunnel::DisconnectReason {
    match reason {
        Disconnect::Client => tunnel::DisconnectReason::Client,
        Disconnect::ConnectionLost => tunnel::DisconnectReason::ConnectionLost,
        Disconnect::Unresponsive => tunnel::DisconnectReason::Unresponsive,
        Disconnect::Protocol | Disconnect::MessageTooLarge => tunnel::DisconnectReason::Protocol,
        Disconnect::Replaced => tunnel::DisconnectReason::Replaced,
        Disconnect::SessionEnded => tunnel::DisconnectReason::SessionEnded,
        Disconnect::Deleted => tunnel::DisconnectReason::Deleted,
        Disconnect::ServerShutdown => tunnel::DisconnectReason::ServerShutdown,
    }
}
