//! The handshake with an MCP server, and the probe that finds a mute one.
//!
//! A server of the modern era answers `server/discover`. Every other server gets `initialize` of the legacy era. The
//! client of `mcpgateway` has initialized the server itself before; servers accept the second `initialize`.

use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    caller::{Caller, Capabilities},
    connection::Connection,
    error::CallError,
    message::{self, Members},
    server::{Era, LEGACY_VERSION, MODERN_VERSION, Server},
};

/// Time that a server has to answer `server/discover`. Some servers of the legacy era do not answer unknown methods
/// before `initialize`.
const DISCOVER_TIME: Duration = Duration::from_secs(5);

/// The reason why the handshake failed.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// The server did not answer.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The server refused `initialize`.
    #[error("the MCP server refused initialize: {0}")]
    Refused(String),
}

/// Finds the era of the server, and initializes a server of the legacy era.
///
/// # Errors
/// [`HandshakeError`] if the server answers neither `server/discover` nor `initialize`.
pub async fn handshake(connection: &Connection) -> Result<Server, HandshakeError> {
    match call(connection, "server/discover", discover_params(), DISCOVER_TIME).await {
        Ok(answer) if is_modern(&answer) => Ok(server(Era::Modern, MODERN_VERSION, answer)),
        Ok(_) | Err(CallError::TimedOut(_)) => initialize(connection).await,
        Err(error) => Err(error.into()),
    }
}

/// Whether the server answers. A server of the modern era has no `ping`.
///
/// # Errors
/// [`CallError`] if it does not.
pub async fn probe(connection: &Connection, server: &Server) -> Result<(), CallError> {
    let time = connection.settings.unresponsive;
    match server.era {
        Era::Legacy => call(connection, "ping", json!({}), time).await?,
        Era::Modern => call(connection, "server/discover", discover_params(), time).await?,
    };
    Ok(())
}

/// The `_meta` that every request of the modern era has, for requests of the gateway itself.
#[must_use]
pub fn modern_meta() -> Value {
    json!({
        "io.modelcontextprotocol/protocolVersion": MODERN_VERSION,
        "io.modelcontextprotocol/clientInfo": client_info(),
        "io.modelcontextprotocol/clientCapabilities": {},
    })
}

fn client_info() -> Value {
    json!({ "name": "streamgate", "version": env!("CARGO_PKG_VERSION") })
}

fn discover_params() -> Value {
    json!({ "_meta": modern_meta() })
}

fn is_modern(answer: &Members) -> bool {
    let versions = message::member(answer, &["result", "supportedVersions"]);
    let versions = versions.and_then(Value::as_array);
    versions.is_some_and(|versions| versions.iter().any(|version| version == MODERN_VERSION))
}

async fn initialize(connection: &Connection) -> Result<Server, HandshakeError> {
    // The gateway passes requests of the server on to the one MCP client that they belong to, or refuses them.
    let params = json!({
        "protocolVersion": LEGACY_VERSION,
        "capabilities": {
            "elicitation": { "form": {}, "url": {} },
            "sampling": { "tools": {}, "context": {} },
            "roots": { "listChanged": false },
        },
        "clientInfo": client_info(),
    });
    let answer = call(connection, "initialize", params, connection.settings.request_time).await?;
    let version = message::member(&answer, &["result", "protocolVersion"]);
    let Some(version) = version.and_then(Value::as_str).map(str::to_owned) else {
        let error = message::member(&answer, &["error", "message"]);
        let error = error.and_then(Value::as_str).unwrap_or("the answer has no protocolVersion");
        return Err(HandshakeError::Refused(error.to_owned()));
    };
    connection.notify(&message::notification("notifications/initialized", None))?;
    Ok(server(Era::Legacy, &version, answer))
}

fn server(era: Era, version: &str, mut answer: Members) -> Server {
    let result = message::into_members(answer.remove("result").unwrap_or_default());
    Server { era, protocol_version: version.to_owned(), result }
}

async fn call(
    connection: &Connection,
    method: &str,
    params: Value,
    time: Duration,
) -> Result<Members, CallError> {
    let caller =
        Caller { id: Uuid::nil(), user: connection.owner, capabilities: Capabilities::default() };
    let request = message::request(Uuid::nil().to_string().into(), method, Some(params));
    connection.call(caller, request, Some(time))?.answer().await
}
