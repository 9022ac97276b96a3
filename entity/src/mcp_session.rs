//! MCP sessions.

use sea_orm::entity::prelude::*;

use crate::{JsonText, Timestamp};

/// A session of the Model Context Protocol between a user's client and an agent.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "mcp_session")]
pub struct Model {
    /// UUID version 7.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Id of the user that the session belongs to.
    pub owner_id: Uuid,
    /// Id of the agent that serves the session. Absent if every agent may publish.
    pub agent_id: Option<Uuid>,
    /// Display name. Absent if the user gave none.
    pub name: Option<String>,
    /// Id of the tunnel that the session uses. Absent for a session of a user's client and an agent.
    pub tunnel_id: Option<Uuid>,
    /// Version of the protocol and the parameters of `initialize`, as JSON. Absent without a tunnel.
    #[sea_orm(column_type = "Text", nullable)]
    pub client: Option<JsonText>,
    /// Names of the OAuth providers at which the owner must have a grant, as a JSON array. Absent if the session requires
    /// none.
    #[sea_orm(column_type = "Text", nullable)]
    pub requires: Option<JsonText>,
    /// Time of creation.
    pub created_at: Timestamp,
    /// Time at which the session was closed. Absent before.
    pub closed_at: Option<Timestamp>,
}

impl ActiveModelBehavior for ActiveModel {}
