//! Tunnels on the wire.

use entity::{JsonText, blocked_tunnel_client, tunnel};
use poem_openapi::{Enum, Object, types::Example};
use serde_json::json;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::family::wire::{AnyObject, ResetReason, example_id, example_time, wire_enum};

/// Status of a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case")]
pub enum TunnelStatus {
    /// The tunnel client is connected.
    Connected,
    /// The tunnel client is away.
    Disconnected,
}

wire_enum! {
    /// Reason why a tunnel client is not connected.
    pub DisconnectReason <=> tunnel::DisconnectReason {
        /// The client has closed the connection.
        Client,
        /// The connection broke.
        ConnectionLost,
        /// The MCP server did not answer in time.
        Unresponsive,
        /// The client sent a frame that is too large, or did not register in time, or its MCP server refused to initialize.
        Protocol,
        /// The same client has connected again.
        Replaced,
        /// The login session or the API key of the client has ended.
        SessionEnded,
        /// The tunnel was deleted.
        Deleted,
        /// The gateway shut down.
        ServerShutdown,
        /// The gateway ended without a shutdown.
        GatewayLost,
    }
}

/// A reverse tunnel to one MCP server.
#[derive(Object)]
#[oai(example, skip_serializing_if_is_none)]
pub struct Tunnel {
    /// Tunnel id. It stays the same when the client connects again.
    pub id: Uuid,
    /// Id of the user that the client authenticates as.
    pub owner: Uuid,
    /// Name of the tunnel, which no other tunnel of the owner has. It stays the same when the client connects again.
    pub name: String,
    /// The name that the client asked for. Differs from `name` while another client with this name is connected.
    pub client_name: String,
    /// Status of the tunnel: `connected` or `disconnected`.
    pub status: TunnelStatus,
    /// Description of the MCP server by the client. Absent if it sent none.
    pub description: Option<String>,
    /// Name and version of the MCP server, as it reports them. Absent before the first handshake.
    pub server: Option<AnyObject>,
    /// Version of the protocol between the gateway and the MCP server. Absent before the first handshake.
    pub protocol_version: Option<String>,
    /// Address of the client.
    pub address: String,
    /// Id of the API key of the client. Absent with another credential.
    pub api_key: Option<Uuid>,
    /// Time of creation, UTC.
    pub created_at: OffsetDateTime,
    /// Time of the last connection, UTC.
    pub connected_at: OffsetDateTime,
    /// Time of the last disconnection, UTC. Absent before.
    pub disconnected_at: Option<OffsetDateTime>,
    /// Reason of the last disconnection. Absent before.
    pub disconnect_reason: Option<DisconnectReason>,
    /// Time of the last message in either direction, UTC.
    pub last_activity_at: OffsetDateTime,
    /// Number of messages from the MCP server.
    pub messages_received: i64,
    /// Size of all frames from the client, in bytes.
    pub bytes_received: i64,
    /// Number of messages to the MCP server.
    pub messages_sent: i64,
    /// Size of all frames to the client, in bytes.
    pub bytes_sent: i64,
}

impl TunnelStatus {
    pub(super) fn from_row(row: &tunnel::Model) -> Self {
        if row.gateway.is_some() { Self::Connected } else { Self::Disconnected }
    }
}

impl From<tunnel::Model> for Tunnel {
    fn from(row: tunnel::Model) -> Self {
        let object = |text: JsonText| AnyObject(text.as_str().to_owned().into());
        Self {
            status: TunnelStatus::from_row(&row),
            id: row.id,
            owner: row.owner_id,
            name: row.name,
            client_name: row.client_name,
            description: row.description,
            server: row.server_info.map(object),
            protocol_version: row.protocol_version,
            address: row.address,
            api_key: row.key_id,
            created_at: row.created_at.datetime(),
            connected_at: row.connected_at.datetime(),
            disconnected_at: row.disconnected_at.map(entity::Timestamp::datetime),
            disconnect_reason: row.disconnect_reason.map(Into::into),
            last_activity_at: row.last_activity_at.datetime(),
            messages_received: row.messages_received,
            bytes_received: row.bytes_received,
            messages_sent: row.messages_sent,
            bytes_sent: row.bytes_sent,
        }
    }
}

impl Example for Tunnel {
    fn example() -> Self {
        let server = json!({ "name": "everything", "version": "1.4.0" });
        Self {
            id: example_id(),
            owner: example_id(),
            name: "everything".to_owned(),
            client_name: "everything".to_owned(),
            status: TunnelStatus::Disconnected,
            description: Some("Reverse proxied: everything-server".to_owned()),
            server: Some(AnyObject(server.to_string().into())),
            protocol_version: Some("2026-07-28".to_owned()),
            address: "203.0.113.7".to_owned(),
            api_key: Some(example_id()),
            created_at: example_time(),
            connected_at: example_time(),
            disconnected_at: Some(example_time()),
            disconnect_reason: Some(DisconnectReason::ConnectionLost),
            last_activity_at: example_time(),
            messages_received: 42,
            bytes_received: 9_000,
            messages_sent: 40,
            bytes_sent: 7_000,
        }
    }
}

/// The data of a `snapshot` event: the tunnel after all events up to the event's `id`.
#[derive(Object)]
#[oai(example, skip_serializing_if_is_none)]
pub struct TunnelSnapshot {
    /// The tunnel.
    pub tunnel: Tunnel,
    /// Reason why the stream starts over. Absent if it does not start over.
    pub reset: Option<ResetReason>,
}

impl Example for TunnelSnapshot {
    fn example() -> Self {
        Self { tunnel: Tunnel::example(), reset: None }
    }
}

/// The data of an event of the tunnel itself.
#[derive(Object)]
#[oai(example)]
pub struct TunnelChanged {
    /// The tunnel after the change.
    pub tunnel: Tunnel,
}

impl Example for TunnelChanged {
    fn example() -> Self {
        Self { tunnel: Tunnel::example() }
    }
}

/// The data of a `tunnel.disconnected` event.
#[derive(Object)]
#[oai(example)]
pub struct TunnelDisconnected {
    /// The tunnel after the disconnection.
    pub tunnel: Tunnel,
    /// Reason of the disconnection.
    pub reason: DisconnectReason,
}

impl Example for TunnelDisconnected {
    fn example() -> Self {
        Self { tunnel: Tunnel::example(), reason: DisconnectReason::ConnectionLost }
    }
}

/// A tunnel client that may not connect, because its tunnel was deleted.
#[derive(Object)]
#[oai(example, skip_serializing_if_is_none)]
pub struct BlockedTunnelClient {
    /// Id of this entry.
    pub id: Uuid,
    /// Id of the user that the client authenticates as.
    pub owner: Uuid,
    /// Id of the API key of the client. Absent with another credential.
    pub api_key: Option<Uuid>,
    /// The name that the client asks for.
    pub client_name: String,
    /// Id of the user that deleted the tunnel.
    pub blocked_by: Uuid,
    /// Time at which the tunnel was deleted, UTC.
    pub created_at: OffsetDateTime,
}

impl From<blocked_tunnel_client::Model> for BlockedTunnelClient {
    fn from(row: blocked_tunnel_client::Model) -> Self {
        Self {
            id: row.id,
            owner: row.owner_id,
            api_key: row.key_id,
            client_name: row.client_name,
            blocked_by: row.blocked_by,
            created_at: row.created_at.datetime(),
        }
    }
}

impl Example for BlockedTunnelClient {
    fn example() -> Self {
        Self {
            id: example_id(),
            owner: example_id(),
            api_key: Some(example_id()),
            client_name: "everything".to_owned(),
            blocked_by: example_id(),
            created_at: example_time(),
        }
    }
}
