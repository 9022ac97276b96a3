//! The sharing of tunnels on the wire.

use entity::{JsonText, tunnel, tunnel_share};
use poem_openapi::{Object, types::Example};
use serde_json::json;
use time::OffsetDateTime;
use uuid::Uuid;

use super::schema::TunnelStatus;
use crate::{
    family::wire::{AnyObject, Text, example_id, example_time, wire_enum},
    tunnel::{NameRules, Policy},
};

wire_enum! {
    /// Role of a user that a tunnel is shared with.
    pub ShareRole <=> tunnel_share::ShareRole {
        /// The user can list the tools, the prompts and the resources of the MCP server.
        List,
        /// The user can also call tools, and send every other request of the protocol.
        Call,
    }
}

/// The role to give to a user.
#[derive(Object)]
#[oai(example, deny_unknown_fields)]
pub struct NewTunnelShare {
    /// Role of the user.
    pub role: ShareRole,
}

impl Example for NewTunnelShare {
    fn example() -> Self {
        Self { role: ShareRole::Call }
    }
}

/// A user that a tunnel is shared with.
#[derive(Object)]
#[oai(example)]
pub struct TunnelShare {
    /// Id of the user.
    pub user: Uuid,
    /// Name of the user.
    pub username: String,
    /// Role of the user.
    pub role: ShareRole,
    /// Time at which the tunnel was shared with the user, UTC.
    pub created_at: OffsetDateTime,
}

impl Example for TunnelShare {
    fn example() -> Self {
        Self {
            user: example_id(),
            username: "grace".to_owned(),
            role: ShareRole::Call,
            created_at: example_time(),
        }
    }
}

/// A tunnel of another user that is shared with the caller.
#[derive(Object)]
#[oai(example, skip_serializing_if_is_none)]
pub struct SharedTunnel {
    /// Tunnel id.
    pub id: Uuid,
    /// User name of the owner.
    pub owner: String,
    /// Name of the tunnel.
    pub name: String,
    /// Path of the MCP endpoint under the name of the tunnel.
    pub path: String,
    /// Role of the caller.
    pub role: ShareRole,
    /// Status of the tunnel: `connected` or `disconnected`.
    pub status: TunnelStatus,
    /// Description of the MCP server by the client. Absent if it sent none.
    pub description: Option<String>,
    /// Name and version of the MCP server, as it reports them. Absent before the first handshake.
    pub server: Option<AnyObject>,
}

impl SharedTunnel {
    pub(super) fn new(row: tunnel::Model, owner: String, role: tunnel_share::ShareRole) -> Self {
        let object = |text: JsonText| AnyObject(text.as_str().to_owned().into());
        Self {
            id: row.id,
            path: format!("/mcp/@{owner}/{}", row.name),
            owner,
            status: TunnelStatus::from_row(&row),
            name: row.name,
            role: role.into(),
            description: row.description,
            server: row.server_info.map(object),
        }
    }
}

impl Example for SharedTunnel {
    fn example() -> Self {
        let server = json!({ "name": "everything", "version": "1.4.0" });
        Self {
            id: example_id(),
            owner: "ada".to_owned(),
            name: "everything".to_owned(),
            path: "/mcp/@ada/everything".to_owned(),
            role: ShareRole::Call,
            status: TunnelStatus::Connected,
            description: Some("Reverse proxied: everything-server".to_owned()),
            server: Some(AnyObject(server.to_string().into())),
        }
    }
}

/// Names that are allowed, and names that are not. A name that ends with `*` stands for all names that begin so.
#[derive(Object, Default)]
#[oai(example, deny_unknown_fields, skip_serializing_if_is_none)]
pub struct TunnelNameRules {
    /// The allowed names, at most 200. Without this, every name is allowed.
    #[oai(validator(max_items = 200, max_length = 256))]
    pub allow: Option<Vec<Text>>,
    /// The names that are not allowed, at most 200. They are not allowed even if `allow` has them.
    #[oai(validator(max_items = 200, max_length = 256))]
    pub deny: Option<Vec<Text>>,
}

impl Example for TunnelNameRules {
    fn example() -> Self {
        let names =
            |names: &[&str]| Some(names.iter().map(|name| Text((*name).to_owned())).collect());
        Self { allow: names(&["search", "read_*"]), deny: names(&["read_secrets"]) }
    }
}

/// The methods and the tools that users may use if a tunnel is shared with them. Without rules, the role of the user
/// decides alone.
#[derive(Object)]
#[oai(example, deny_unknown_fields, skip_serializing_if_is_none)]
pub struct TunnelPolicy {
    /// Rules for the methods of the protocol, such as `prompts/get`. The requests with which every client begins are
    /// always allowed: `initialize`, `ping` and `server/discover`.
    pub methods: Option<TunnelNameRules>,
    /// Rules for the names of tools. A list of tools has only those that are allowed.
    pub tools: Option<TunnelNameRules>,
}

impl Example for TunnelPolicy {
    fn example() -> Self {
        Self { methods: None, tools: Some(TunnelNameRules::example()) }
    }
}

impl From<TunnelNameRules> for NameRules {
    fn from(rules: TunnelNameRules) -> Self {
        let names = |names: Vec<Text>| names.into_iter().map(|name| name.0).collect();
        Self { allow: rules.allow.map(names), deny: rules.deny.map(names).unwrap_or_default() }
    }
}

impl From<TunnelPolicy> for Policy {
    fn from(policy: TunnelPolicy) -> Self {
        let rules = |rules: Option<TunnelNameRules>| rules.unwrap_or_default().into();
        Self { methods: rules(policy.methods), tools: rules(policy.tools) }
    }
}

impl From<Policy> for TunnelPolicy {
    fn from(policy: Policy) -> Self {
        let names = |names: Vec<String>| names.into_iter().map(Text).collect::<Vec<_>>();
        let rules = |rules: NameRules| {
            let is_empty = rules == NameRules::default();
            let deny = Some(names(rules.deny)).filter(|deny| !deny.is_empty());
            (!is_empty).then(|| TunnelNameRules { allow: rules.allow.map(names), deny })
        };
        Self { methods: rules(policy.methods), tools: rules(policy.tools) }
    }
}
