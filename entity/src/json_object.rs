//! JSON objects in columns.

use sea_orm::DeriveValueType;
use serde_json::{Map, Value};

/// A JSON object, stored as text. JSON allows a NUL in a string (RFC 8259, section 7), but PostgreSQL's JSON types
/// refuse it. The object is text in memory too, because a parsed value can take thirty times as much memory.
#[derive(Clone, Debug, PartialEq, Eq, DeriveValueType)]
pub struct JsonObject(String);

impl JsonObject {
    /// The JSON text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The members of the object. Empty if the column does not contain an object.
    #[must_use]
    pub fn members(&self) -> Map<String, Value> {
        serde_json::from_str(&self.0).unwrap_or_default()
    }
}

impl From<Map<String, Value>> for JsonObject {
    fn from(members: Map<String, Value>) -> Self {
        Self(Value::Object(members).to_string())
    }
}
