//! `[tunnels]`: reverse tunnels to MCP servers.

use serde::Serialize;

/// `[tunnels]`
#[derive(confique::Config, Clone, Debug, PartialEq, Eq)]
#[config(layer_attr(derive(Serialize)))]
pub struct Tunnels {
    /// Requests that may wait for the answers of one MCP server, from 1 to 100000.
    #[config(
        default = 1_000,
        env = "STREAMGATE_TUNNELS__REQUESTS_IN_FLIGHT",
        validate((1..=100_000).contains(requests_in_flight), "must be from 1 to 100000 requests")
    )]
    pub requests_in_flight: usize,

    /// Seconds after which a request fails if the MCP server has sent nothing for it, from 1 to 86400. A
    /// progress notification counts, and so does a question to the client.
    #[config(
        default = 90,
        env = "STREAMGATE_TUNNELS__REQUEST_SECONDS",
        validate((1..=86_400).contains(request_seconds), "must be from 1 to 86400 seconds")
    )]
    pub request_seconds: u64,

    /// Seconds without a message of the MCP server after which the gateway asks whether it is still there, from 1 to
    /// 86400. If it does not answer in the same time, the gateway closes the connection, and the client connects again.
    #[config(
        default = 120,
        env = "STREAMGATE_TUNNELS__UNRESPONSIVE_SECONDS",
        validate((1..=86_400).contains(unresponsive_seconds), "must be from 1 to 86400 seconds")
    )]
    pub unresponsive_seconds: u64,

    /// Maximum size of a message from a tunnel client, in bytes, from 65536 to 67108864 (64 MiB). A larger
    /// one closes the connection. Messages to a client have at most 1000000 bytes.
    #[config(
        default = 4_194_304,
        env = "STREAMGATE_TUNNELS__MESSAGE_LIMIT_BYTES",
        validate((65_536..=67_108_864).contains(message_limit_bytes), "must be from 65536 to 67108864 bytes")
    )]
    pub message_limit_bytes: usize,

    /// Seconds after which a tunnel is deleted if its client has not connected, from 60 to 315360000 (ten years).
    /// The default is 30 days. Checked every `retention.sweep_seconds`.
    #[config(
        default = 2_592_000,
        env = "STREAMGATE_TUNNELS__AWAY_SECONDS",
        validate((60..=315_360_000).contains(away_seconds), "must be from 60 to 315360000 seconds")
    )]
    pub away_seconds: u64,

    /// Whether the audit log has the arguments of calls of tools. They can contain secrets.
    #[config(default = false, env = "STREAMGATE_TUNNELS__AUDIT_ARGUMENTS")]
    pub audit_arguments: bool,
}
