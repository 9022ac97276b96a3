//! Calls of tools in the audit log.

use std::{net::IpAddr, sync::Arc, time::Instant};

use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    audit::{AuditEvent, AuditKind},
    auth::login_session::Principal,
    gateway::Gateway,
    json,
    tunnel::message::{self, Members},
};

/// Longest name of a tool and longest text of an error in an event, in characters.
const MAX_TEXT: usize = 256;

/// Longest arguments in an event, in bytes as JSON.
const MAX_ARGUMENTS: usize = 16_384;

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With a result.
    Result,
    /// With a result that the tool has marked as an error.
    ToolError,
    /// With an error of JSON-RPC, of the server or of the gateway.
    Error,
    /// The server requires answers of the client, which calls again with them.
    InputRequired,
    /// The client has cancelled the call, or has disconnected.
    Cancelled,
    /// The policy of the tunnel does not allow it.
    Refused,
}

impl Outcome {
    /// The name in the event.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Result => "result",
            Self::ToolError => "tool_error",
            Self::Error => "error",
            Self::InputRequired => "input_required",
            Self::Cancelled => "cancelled",
            Self::Refused => "refused",
        }
    }

    fn from_answer(answer: &Members) -> Self {
        let member = |path: &[&str]| message::member(answer, path);
        if member(&["error"]).is_some() {
            Self::Error
        } else if member(&["result", "isError"]) == Some(&true.into()) {
            Self::ToolError
        } else if member(&["result", "resultType"]).is_some_and(|kind| kind == "input_required") {
            Self::InputRequired
        } else {
            Self::Result
        }
    }
}

/// A call of a tool. It becomes an event of the audit log when it ends.
pub struct ToolCall {
    gateway: Arc<Gateway>,
    event: AuditEvent,
    began: Instant,
    /// The outcome if it is dropped. Absent after it was recorded.
    if_dropped: Option<Outcome>,
}

impl ToolCall {
    /// Begins with a request. `None` if it calls no tool.
    #[must_use]
    pub fn begin(
        gateway: &Arc<Gateway>,
        (tunnel, owner): (Uuid, Uuid),
        (principal, address): (&Principal, IpAddr),
        request: &Members,
    ) -> Option<Self> {
        if message::method(request) != Some("tools/call") {
            return None;
        }
        let tool = message::member(request, &["params", "name"]).and_then(Value::as_str);
        let mut data = json!({ "tunnel": tunnel, "tool": tool.map(shortened) });
        if gateway.config.tunnels.audit_arguments {
            let arguments = message::member(request, &["params", "arguments"]);
            let arguments = arguments.unwrap_or(&Value::Null);
            let bytes = json::text(arguments).len();
            if bytes <= MAX_ARGUMENTS {
                data["arguments"] = arguments.clone();
            } else {
                data["arguments_bytes"] = bytes.into();
            }
        }
        let event = AuditEvent {
            kind: AuditKind::ToolCalled,
            user: Some(owner),
            actor: Some(principal.user_id),
            session: Some(principal.session_id),
            address: Some(address),
            data,
        };
        let (gateway, began) = (Arc::clone(gateway), Instant::now());
        Some(Self { gateway, event, began, if_dropped: Some(Outcome::Error) })
    }

    /// The server has got the request. If the call is dropped from now on, it was cancelled.
    pub fn sent(&mut self) {
        self.if_dropped = Some(Outcome::Cancelled);
    }

    /// Ends with the answer that the client gets.
    pub fn answered(mut self, answer: &Members) {
        if let Some(error) = answer.get("error") {
            let text = error.get("message").and_then(Value::as_str).unwrap_or_default();
            let code = error.get("code").and_then(Value::as_i64);
            self.event.data["error"] = json!({ "code": code, "message": shortened(text) });
        }
        self.record(Outcome::from_answer(answer));
    }

    /// Ends without being sent, because the policy does not allow it.
    pub fn refused(mut self) {
        self.record(Outcome::Refused);
    }

    fn record(&mut self, outcome: Outcome) {
        self.if_dropped = None;
        let mut event = self.event.clone();
        event.data["outcome"] = outcome.name().into();
        let milliseconds = self.began.elapsed().as_secs_f64() * 1_000.0;
        event.data["duration_ms"] = ((milliseconds * 1_000.0).round() / 1_000.0).into();
        self.gateway.audit.record_in_background(event);
    }
}

impl Drop for ToolCall {
    fn drop(&mut self) {
        if let Some(outcome) = self.if_dropped {
            self.record(outcome);
        }
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(MAX_TEXT).collect()
}
