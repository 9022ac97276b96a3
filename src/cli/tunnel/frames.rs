//! The frames of the WebSocket, from the side of the client. `docs/tunnel.md` lists them.

use serde::Deserialize;
use serde_json::{json, value::RawValue};

/// Largest message that the gateway takes by default, with some space for the frame around it.
const MAX_MESSAGE: usize = (4 << 20) - 1_024;

/// A frame of the gateway.
#[derive(Deserialize)]
pub(super) struct FromGateway {
    #[serde(rename = "type")]
    pub(super) kind: String,
    #[serde(rename = "sessionId")]
    pub(super) tunnel: Option<String>,
    /// The message to the server, with the text that it has.
    pub(super) payload: Option<Box<RawValue>>,
}

/// The parts of a message that say what it is.
#[derive(Deserialize)]
struct Head {
    id: Option<Box<RawValue>>,
    method: Option<String>,
}

/// The frame with which a client begins.
pub(super) fn register(description: &str) -> String {
    json!({ "type": "register", "server": { "description": description } }).to_string()
}

/// The frame with which a client ends.
pub(super) fn unregister() -> String {
    json!({ "type": "unregister" }).to_string()
}

/// The frame for a message of the server. `None` for a line that is no message: the server writes its log to standard
/// output.
pub(super) fn from_server(line: &str) -> Option<String> {
    let head: Head = serde_json::from_str(line).ok()?;
    let kind = if head.method.is_some() && head.id.is_none() { "notification" } else { "response" };
    if line.len() <= MAX_MESSAGE {
        return Some(format!(r#"{{"type":"{kind}","payload":{line}}}"#));
    }
    // The gateway would close the connection.
    let id = head.id.filter(|_| head.method.is_none())?;
    let reason =
        format!("the answer has {} bytes, and the gateway accepts {MAX_MESSAGE}", line.len());
    let error = json!({ "code": -32603, "message": reason });
    Some(format!(
        r#"{{"type":"response","payload":{{"jsonrpc":"2.0","id":{id},"error":{error}}}}}"#
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_keep_their_text_and_large_ones_become_errors() {
        let line = r#"{"jsonrpc":"2.0","id":1.50,"result":{"n":1e400}}"#;
        let frame = from_server(line).expect("a frame");
        assert_eq!(frame, format!(r#"{{"type":"response","payload":{line}}}"#));
        let notification = r#"{"jsonrpc":"2.0","method":"x"}"#;
        assert!(from_server(notification).expect("a frame").contains(r#""type":"notification""#));
        assert_eq!(from_server("Listening on stdio"), None);
        let large =
            format!(r#"{{"jsonrpc":"2.0","id":"a","result":"{}"}}"#, "x".repeat(MAX_MESSAGE));
        let frame = from_server(&large).expect("a frame");
        assert!(frame.len() < 300 && frame.contains(r#""id":"a","error""#), "{frame}");
    }
}
