//! The errors of the MCP layer. They are JSON-RPC errors, whose code says which HTTP status they have.

use serde_json::{Value, json};

use crate::tunnel::{
    CallError, LEGACY_VERSION, MODERN_VERSION,
    message::{self, Members},
};

/// The versions that clients may use, newest first.
pub const VERSIONS: [&str; 5] =
    [MODERN_VERSION, LEGACY_VERSION, "2025-06-18", "2025-03-26", "2024-11-05"];

/// A JSON-RPC error (JSON-RPC 2.0, section 5.1; MCP 2026-07-28, Error Codes).
#[derive(Clone, Debug, PartialEq)]
pub struct RpcError {
    /// The code.
    pub code: i64,
    /// The message, for people.
    pub message: String,
    /// Further values. Absent if there are none.
    pub data: Option<Value>,
}

impl RpcError {
    /// The text is not JSON.
    pub const PARSE: i64 = -32700;
    /// The JSON is no message, or not one that may come now.
    pub const INVALID_REQUEST: i64 = -32600;
    /// The method does not exist.
    pub const METHOD_NOT_FOUND: i64 = -32601;
    /// The parameters are not valid.
    pub const INVALID_PARAMS: i64 = -32602;
    /// The server failed, or did not answer.
    pub const INTERNAL: i64 = -32603;
    /// The session does not exist, or has ended.
    pub const NO_SESSION: i64 = -32001;
    /// A header differs from the body.
    pub const HEADER_MISMATCH: i64 = -32020;
    /// The client lacks a capability.
    pub const MISSING_CAPABILITY: i64 = -32021;
    /// The version of the protocol is not supported.
    pub const UNSUPPORTED_VERSION: i64 = -32022;

    /// An error with this code.
    pub fn new(code: i64, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: None }
    }

    /// A version that the gateway does not know.
    #[must_use]
    pub fn unsupported_version(requested: &str) -> Self {
        let data = json!({ "supported": [MODERN_VERSION], "requested": requested });
        let message = "this version of the protocol is not supported".to_owned();
        Self { code: Self::UNSUPPORTED_VERSION, message, data: Some(data) }
    }

    /// The tunnel is not shared with the user any more.
    #[must_use]
    pub fn not_shared() -> Self {
        Self::new(Self::INTERNAL, "the tunnel is not shared with you any more")
    }

    /// The response that carries the error.
    #[must_use]
    pub fn into_response(self, id: Value) -> Members {
        let mut response = message::failure(id, self.code, &self.message);
        if let (Some(data), Some(error)) = (self.data, response.get_mut("error")) {
            error["data"] = data;
        }
        response
    }
}

impl From<CallError> for RpcError {
    fn from(error: CallError) -> Self {
        Self::new(Self::INTERNAL, error.to_string())
    }
}

/// The code of a response that is an error.
#[must_use]
pub fn error_code(response: &Members) -> Option<i64> {
    message::member(response, &["error", "code"])?.as_i64()
}
