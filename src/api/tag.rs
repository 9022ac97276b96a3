//! The tags of the OpenAPI document.

use poem_openapi::Tags;

/// The tag of an operation.
#[derive(Tags)]
pub(super) enum Tag {
    /// Log in and out, refresh a login session, and get the caller and the public keys.
    Auth,
    /// Manage users.
    User,
    /// Credentials of programs.
    ApiKey,
    /// Security events.
    Audit,
    /// Streams of several topics.
    Stream,
    /// Tokens that open certain streams, for `EventSource`.
    StreamToken,
    /// Open streams.
    Connection,
    /// Topologies, their mutations and their streams.
    Topology,
    /// Notifications of users and their streams.
    Notification,
    /// Sessions of the Model Context Protocol and their streams.
    McpSession,
    /// Tasks, the workers that execute them, and their streams.
    Task,
    /// Sessions, the prompts in them, the answers of agents, and their streams.
    Prompt,
    /// Reverse tunnels to MCP servers behind NAT.
    Tunnel,
    /// Grants of users at upstream OAuth providers.
    Oauth,
    /// Liveness, readiness, latencies and metrics of the gateway.
    Health,
    /// The OpenAPI documents and Swagger UI.
    Docs,
}
