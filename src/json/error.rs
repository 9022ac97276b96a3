//! The reason and the place of a fault in JSON.

use std::fmt;

/// Maximum length of the pointer in a message, in bytes. Keys can be as long as the body.
const MAX_POINTER: usize = 256;

/// The text is not JSON that the gateway accepts. The message contains no value, because a value may be a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct JsonError {
    reason: &'static str,
    line: usize,
    column: usize,
    /// The keys and indices from the fault to the root.
    path: Vec<String>,
}

impl JsonError {
    /// A fault at this byte of the text.
    pub(super) fn at(reason: &'static str, text: &[u8], position: usize) -> Self {
        let before = &text[..position.min(text.len())];
        let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        Self {
            reason,
            line: before.split(|byte| *byte == b'\n').count(),
            column: 1 + before.len() - line_start,
            path: Vec::new(),
        }
    }

    /// The fault is in the member or element with this name.
    pub(super) fn within(mut self, name: impl Into<String>) -> Self {
        self.path.push(name.into());
        self
    }

    /// The fault is in this line of a longer text.
    #[must_use]
    pub fn in_line(self, line: usize) -> Self {
        Self { line, ..self }
    }

    /// The JSON pointer to the fault (RFC 6901). Empty for the whole text.
    fn pointer(&self) -> String {
        let mut pointer = String::new();
        for name in self.path.iter().rev() {
            pointer.push('/');
            pointer.push_str(&name.replace('~', "~0").replace('/', "~1"));
            if pointer.len() > MAX_POINTER {
                pointer.truncate(pointer.floor_char_boundary(MAX_POINTER));
                pointer.push_str("...");
                break;
            }
        }
        pointer
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at line {}, column {}", self.reason, self.line, self.column)?;
        if self.path.is_empty() { Ok(()) } else { write!(f, " (JSON pointer {})", self.pointer()) }
    }
}
