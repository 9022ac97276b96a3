//! The levels of `logging/setLevel` (RFC 5424, section 6.2.1).

use serde_json::Value;

use crate::tunnel::message::{self, Members};

/// A level, from the most verbose one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogLevel(usize);

const NAMES: [&str; 8] =
    ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"];

impl LogLevel {
    /// No line of the log passes.
    pub const NONE: Self = Self(NAMES.len());

    /// The level with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        NAMES.iter().position(|known| *known == name).map(Self)
    }

    /// The name.
    #[must_use]
    pub fn name(self) -> &'static str {
        NAMES.get(self.0).copied().unwrap_or("emergency")
    }

    /// Whether a message passes. Everything that is no line of a log does.
    #[must_use]
    pub fn passes(self, message: &Members) -> bool {
        if message::method(message) != Some("notifications/message") {
            return true;
        }
        let level = message::member(message, &["params", "level"]).and_then(Value::as_str);
        level.and_then(Self::from_name).is_none_or(|level| level >= self)
    }
}
