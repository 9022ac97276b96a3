//! JSON objects in columns.

use sea_orm::DeriveValueType;

/// A JSON object, stored as text. PostgreSQL's JSON types refuse a NUL in a string, which JSON allows (RFC 8259, section
/// 7), and `jsonb` also changes the texts of numbers. The object is text in memory too, because a parsed value can take
/// thirty times as much memory.
#[derive(Clone, Debug, PartialEq, Eq, DeriveValueType)]
pub struct JsonObject(String);

impl JsonObject {
    /// The JSON text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for JsonObject {
    /// Expects a JSON object without spaces between its tokens.
    fn from(text: String) -> Self {
        Self(text)
    }
}
