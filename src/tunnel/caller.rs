//! The sender of a request through a tunnel.

use serde_json::Value;
use uuid::Uuid;

/// The questions of a server that an MCP client can answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// `elicitation/create`.
    pub elicitation: bool,
    /// `sampling/createMessage`.
    pub sampling: bool,
    /// `roots/list`.
    pub roots: bool,
}

impl Capabilities {
    /// The capabilities in the object `capabilities` of a client.
    #[must_use]
    pub fn from_object(object: &Value) -> Self {
        let has = |name: &str| object.get(name).is_some_and(Value::is_object);
        Self { elicitation: has("elicitation"), sampling: has("sampling"), roots: has("roots") }
    }

    /// Whether a client with these capabilities answers the method.
    #[must_use]
    pub fn answers(self, method: &str) -> bool {
        match method {
            "elicitation/create" => self.elicitation,
            "sampling/createMessage" => self.sampling,
            "roots/list" => self.roots,
            _ => false,
        }
    }
}

/// The sender of a request.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    /// Id of the MCP session, or a random id of a request without a session. Nil for the gateway itself.
    pub id: Uuid,
    /// Id of the user.
    pub user: Uuid,
    /// The questions that the caller can answer.
    pub capabilities: Capabilities,
}
