//! MCP sessions and their messages.

use serde_json::{Value, json};

use crate::support::caller::{Caller, id_of};

pub fn request(id: u64) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": { "name": "x" } })
}

/// Creates an MCP session. Returns its path.
pub async fn session_of(user: &Caller, new: Value) -> String {
    let session = user.post("/v1/mcp-sessions", new).await.ok();
    format!("/v1/mcp-sessions/{}", id_of(&session))
}
