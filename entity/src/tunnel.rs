//! Reverse tunnels to MCP servers.

use sea_orm::entity::prelude::*;

use crate::{JsonText, Timestamp};

/// Reason why a tunnel client is not connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::N(16))", rename_all = "snake_case")]
pub enum DisconnectReason {
    /// The client has closed the connection.
    Client,
    /// The connection broke.
    ConnectionLost,
    /// The MCP server did not answer a probe.
    Unresponsive,
    /// The client broke the protocol.
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

/// A tunnel to one MCP server. It stays when its client disconnects, and the client gets it again.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "tunnel")]
pub struct Model {
    /// UUID version 7.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Id of the user that the client authenticates as.
    pub owner_id: Uuid,
    /// Id of the API key of the last connection. Absent with another credential.
    pub key_id: Option<Uuid>,
    /// The name that the client asked for. With it, the user and the API key, a client is recognised.
    pub client_name: String,
    /// The name in the URL, which no other tunnel of the owner has. Differs from `client_name` while several clients
    /// with this name are connected.
    pub name: String,
    /// Text that the client has chosen for its process. Absent if it sent none.
    pub instance: Option<String>,
    /// Description of the MCP server by the client. Absent if it sent none.
    #[sea_orm(column_type = "Text", nullable)]
    pub description: Option<String>,
    /// Name and version of the MCP server, as it reports them, as JSON. Absent before the handshake.
    #[sea_orm(column_type = "Text", nullable)]
    pub server_info: Option<JsonText>,
    /// Version of the protocol with the MCP server. Absent before the handshake.
    pub protocol_version: Option<String>,
    /// What users may do that the tunnel is shared with, as JSON. Absent if there is no limit.
    #[sea_orm(column_type = "Text", nullable)]
    pub policy: Option<JsonText>,
    /// Address of the client at its last connection.
    pub address: String,
    /// Id of the last connection.
    pub connection: Uuid,
    /// Id of the gateway that the client is connected to. Absent if it is not connected.
    pub gateway: Option<Uuid>,
    /// Time until which the connection counts without a further sign of its gateway.
    pub alive_until: Timestamp,
    /// Time of creation.
    pub created_at: Timestamp,
    /// Time of the last connection.
    pub connected_at: Timestamp,
    /// Time of the last disconnection. Absent while the client is connected for the first time.
    pub disconnected_at: Option<Timestamp>,
    /// Reason of the last disconnection.
    pub disconnect_reason: Option<DisconnectReason>,
    /// Time of the last message in either direction, at the last write of this row.
    pub last_activity_at: Timestamp,
    /// Messages from the MCP server, at the last write of this row.
    pub messages_received: i64,
    /// Bytes from the client.
    pub bytes_received: i64,
    /// Messages to the MCP server.
    pub messages_sent: i64,
    /// Bytes to the client.
    pub bytes_sent: i64,
    /// Time of deletion. Absent before.
    pub deleted_at: Option<Timestamp>,
}

impl ActiveModelBehavior for ActiveModel {}
