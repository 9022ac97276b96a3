//! The tree of all keys.

use std::{net::SocketAddr, path::PathBuf};

use confique::{Config as _, Layer as _};
use serde::Serialize;

use super::{
    auth::Auth,
    families::{McpSessions, OverflowByFamily, Prompts, Retention},
    limits::Limits,
    oauth::Oauth,
    sections::{Database, Log, Streams, Tasks, Tokens},
    server::Server,
    tunnels::Tunnels,
    validate,
};

/// A [`Config`] in which each key may be absent. The command line passes its flags as a layer. Start from
/// `ConfigLayer::empty()` (trait `confique::Layer`).
pub type ConfigLayer = <Config as confique::Config>::Layer;

/// The configuration of streamgate.
///
/// Every key can be set in a TOML file (`streamgate serve --config FILE`) or in an environment
/// variable, which overrides the file. A command line flag overrides both. In an environment
/// variable, commas separate the items of a list. A list of tables is a JSON array there. An unknown key or variable stops the start.
///
/// STREAMGATE_ADMIN_PASSWORD is not a key. The first start reads it once, as the password of the administrator
/// `admin`, with 8 characters to 1024 bytes. Without it that password is generated and printed once.
#[derive(confique::Config, Clone, Debug, PartialEq, Eq)]
#[config(layer_attr(derive(Serialize)))]
pub struct Config {
    /// Address and port to accept connections on. The default accepts connections only from the same
    /// machine. `0.0.0.0:8080` is every IPv4 interface, and port 0 is any free port.
    #[config(default = "127.0.0.1:8080", env = "STREAMGATE_LISTEN")]
    pub listen: SocketAddr,

    /// Directory of the SQLite database and the signing keys, relative to the working directory.
    /// It is created if it is missing. Keep it private: a user that can read it can sign tokens. Only
    /// one process at a time serves from a SQLite database; a second one does not start.
    #[config(
        default = "data",
        env = "STREAMGATE_DATA_DIR",
        validate = validate::not_empty
    )]
    pub data_dir: PathBuf,

    /// The database.
    #[config(nested)]
    pub database: Database,

    /// The HTTP listener.
    #[config(nested)]
    pub server: Server,

    /// Tokens that the gateway signs, and those that it accepts.
    #[config(nested)]
    pub tokens: Tokens,

    /// Other ways to authenticate requests: external issuers of access tokens, and names from a proxy.
    #[config(nested)]
    pub auth: Auth,

    /// Live streams (SSE).
    #[config(nested)]
    pub streams: Streams,

    /// Overflow strategies, for clients that are slower than the events kept in memory.
    #[config(nested)]
    pub overflow: OverflowByFamily,

    /// Tasks and their workers.
    #[config(nested)]
    pub tasks: Tasks,

    /// Limits of connections, users and addresses. Above a limit of a user or of logins, the response is 429 with
    /// Retry-After. Each gateway counts separately: two gateways on one database allow twice as much.
    #[config(nested)]
    pub limits: Limits,

    /// Retention of events in the event log. A client that resumes after an older cursor gets a snapshot and
    /// starts over.
    #[config(nested)]
    pub retention: Retention,

    /// Prompts that are answered without a claim.
    #[config(nested)]
    pub prompts: Prompts,

    /// Sessions of the Model Context Protocol.
    #[config(nested)]
    pub mcp_sessions: McpSessions,

    /// Reverse tunnels to MCP servers.
    #[config(nested)]
    pub tunnels: Tunnels,

    /// Upstream OAuth providers.
    #[config(nested)]
    pub oauth: Oauth,

    /// Diagnostics on standard error.
    #[config(nested)]
    pub log: Log,
}

impl Config {
    /// The defaults, with `data_dir` as given and a free loopback port. Reads no file and no environment. For tests
    /// and the demo.
    #[must_use]
    pub fn for_data_dir(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            data_dir: data_dir.into(),
            ..complete(ConfigLayer::default_values())
        }
    }
}

/// Converts a layer into the configuration. The layer must contain the defaults.
pub(super) fn complete(layer: ConfigLayer) -> Config {
    Config::from_layer(layer).expect("every key that is not optional has a default")
}
