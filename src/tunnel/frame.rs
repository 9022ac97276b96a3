//! The frames of the WebSocket: JSON objects with a `type`, as `mcpgateway.reverse_proxy` sends and reads them.
//!
//! | from the client | meaning |
//! |---|---|
//! | `register` | The client begins. `server` has the name and description of its MCP server. |
//! | `response` | A message of the MCP server. With a `method`, it is a request of the server to the MCP client. |
//! | `notification` | A notification of the MCP server. |
//! | `heartbeat` | The client is alive. |
//! | `error` | A fault of the client, as text. |
//! | `unregister` | The client ends. |
//!
//! | to the client | meaning |
//! |---|---|
//! | `register_ack`, `register_complete` | The registration is accepted. Older clients wait for the first, newer ones for the second. |
//! | `request` | A message to the MCP server of any kind: request, notification or response. |
//! | `heartbeat` | The answer to a heartbeat. |
//!
//! The gateway ignores the `sessionId` of the client, because a client could name another's.

use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Value, json, value::RawValue};
use uuid::Uuid;

use super::message::{self, Members};
use crate::json;

/// Largest frame to a client, in bytes. The client of `mcpgateway` closes the connection at 1 MiB.
pub const MAX_FRAME: usize = 1_000_000;

/// Bytes that one read of the WebSocket takes at most. tungstenite zeroes this much before each read, and keeps it for each
/// connection. Its default, 128 KiB, would take more time than the frame of a usual call.
pub const READ_BUFFER_BYTES: usize = 8 * 1024;

/// The description of an MCP server, from the registration of its client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registration {
    /// The description, at most 1,000 characters.
    pub description: Option<String>,
}

/// A frame from a client.
#[derive(Clone, Debug, PartialEq)]
pub enum ClientFrame {
    /// The client begins.
    Register(Registration),
    /// The client ends.
    Unregister,
    /// The client is alive.
    Heartbeat,
    /// A message of the MCP server.
    Message(Members),
    /// A fault of the client.
    Error(String),
}

/// A frame that the gateway does not understand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidFrame {
    /// The reason.
    pub reason: String,
    /// The id of the request that the frame seems to answer, as JSON text.
    pub answers: Option<String>,
}

impl ClientFrame {
    /// Parses the text of a frame.
    ///
    /// # Errors
    /// [`InvalidFrame`] if the text is not JSON as the gateway accepts it, or not one of the frames.
    pub fn parse(text: &str) -> Result<Self, InvalidFrame> {
        let invalid = |reason: String| InvalidFrame { reason, answers: answered_request(text) };
        let frame = json::parse(text.as_bytes()).map_err(|error| invalid(error.to_string()))?;
        let mut frame = message::into_members(frame);
        let kind = frame.get("type").and_then(Value::as_str).unwrap_or_default();
        Ok(match kind {
            "register" => Self::Register(registration(&frame)),
            "unregister" => Self::Unregister,
            "heartbeat" => Self::Heartbeat,
            "error" => {
                let shown = ["message", "error"].iter().find_map(|name| frame.get(*name));
                Self::Error(shown.map(json::text).unwrap_or_default())
            }
            "response" | "notification" => match frame.remove("payload") {
                Some(Value::Object(payload)) => Self::Message(payload),
                _ => return Err(invalid("the frame has no payload".to_owned())),
            },
            _ => return Err(invalid("the type of the frame is not known".to_owned())),
        })
    }
}

fn registration(frame: &Members) -> Registration {
    let description = message::member(frame, &["server", "description"]).and_then(Value::as_str);
    let printable = |text: &str| {
        let kept = text.chars().filter(|letter| !letter.is_control());
        kept.take(1_000).collect::<String>()
    };
    Registration { description: description.map(printable).filter(|text| !text.is_empty()) }
}

/// The id of the request that a frame answers, if at least so much of the frame can be read.
fn answered_request(text: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Frame<'a> {
        #[serde(borrow)]
        payload: Payload<'a>,
    }
    #[derive(Deserialize)]
    struct Payload<'a> {
        #[serde(borrow)]
        id: &'a RawValue,
        /// With a method, the id is the server's own.
        method: Option<IgnoredAny>,
    }
    let frame: Frame<'_> = serde_json::from_str(text).ok()?;
    frame.payload.method.is_none().then(|| frame.payload.id.get().to_owned())
}

/// The frame that accepts a registration: `register_ack` or `register_complete`.
#[must_use]
pub fn accepted(kind: &str, tunnel: Uuid) -> String {
    json!({ "type": kind, "sessionId": tunnel, "status": "success" }).to_string()
}

/// The answer to a heartbeat.
#[must_use]
pub fn heartbeat(tunnel: Uuid) -> String {
    json!({ "type": "heartbeat", "sessionId": tunnel }).to_string()
}

/// The frame that carries a message to the MCP server.
#[must_use]
pub fn to_server(tunnel: Uuid, message: &Members) -> String {
    let payload = message::text(message);
    format!(r#"{{"type":"request","sessionId":"{tunnel}","payload":{payload}}}"#)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_the_client_are_understood() {
        let message = r#"{"type":"response","sessionId":"x","payload":{"id":1.50,"result":{}}}"#;
        let Ok(ClientFrame::Message(payload)) = ClientFrame::parse(message) else {
            panic!("not a message")
        };
        assert_eq!(message::text(&payload), r#"{"id":1.50,"result":{}}"#);
        let register = r#"{"type":"register","server":{"name":"a","description":"b\u0007c"}}"#;
        let registration = Registration { description: Some("bc".to_owned()) };
        assert_eq!(ClientFrame::parse(register), Ok(ClientFrame::Register(registration)));
        assert_eq!(ClientFrame::parse(r#"{"type":"heartbeat"}"#), Ok(ClientFrame::Heartbeat));
        assert_eq!(ClientFrame::parse(r#"{"type":"unregister"}"#), Ok(ClientFrame::Unregister));
    }

    #[test]
    fn invalid_answer_still_names_its_request() {
        let twice =
            r#"{"type":"response","payload":{"jsonrpc":"2.0","id":7,"result":{"a":1,"a":2}}}"#;
        let invalid = ClientFrame::parse(twice).expect_err("two members with one name");
        assert_eq!(invalid.answers.as_deref(), Some("7"));
        for text in ["", "[]", "{}", r#"{"type":"what"}"#, r#"{"type":"response","payload":1}"#] {
            let invalid = ClientFrame::parse(text).expect_err("no frame");
            assert_eq!(invalid.answers, None, "{text}");
        }
    }
}
