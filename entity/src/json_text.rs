//! JSON values of any type in columns.

use sea_orm::DeriveValueType;

/// A JSON value of any type, stored as text for the reasons of [`JsonObject`](crate::JsonObject).
#[derive(Clone, Debug, PartialEq, Eq, DeriveValueType)]
pub struct JsonText(String);

impl JsonText {
    /// The JSON text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for JsonText {
    /// Expects JSON without spaces between its tokens.
    fn from(text: String) -> Self {
        Self(text)
    }
}
