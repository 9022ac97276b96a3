//! The MCP server behind a tunnel, as it describes itself.

use serde_json::Value;

use super::message::{self, Members};

/// The era of an MCP server or client, which decides how messages are exchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Era {
    /// Up to 2025-11-25: the client initializes, and the server can send requests to it.
    Legacy,
    /// From 2026-07-28: every request stands alone.
    Modern,
}

/// The newest version of the protocol in the modern era.
pub const MODERN_VERSION: &str = "2026-07-28";
/// The newest version of the protocol in the legacy era.
pub const LEGACY_VERSION: &str = "2025-11-25";

/// An MCP server that has answered the handshake.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// The era of the server.
    pub era: Era,
    /// The version of the protocol that the gateway and the server use.
    pub protocol_version: String,
    /// The result of `initialize` or of `server/discover`.
    pub result: Members,
}

impl Server {
    /// The name, the title and the version of the server.
    #[must_use]
    pub fn info(&self) -> Option<&Value> {
        self.result.get("serverInfo").or_else(|| {
            message::member(&self.result, &["_meta", "io.modelcontextprotocol/serverInfo"])
        })
    }

    /// The capabilities of the server.
    #[must_use]
    pub fn capabilities(&self) -> Option<&Members> {
        self.result.get("capabilities")?.as_object()
    }
}
