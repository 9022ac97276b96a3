//! Values of headers that may be encoded (MCP 2026-07-28, Streamable HTTP, Value Encoding).

use base64::{Engine, engine::general_purpose::STANDARD};

/// A value as a header can have it.
#[must_use]
pub fn encoded(value: &str) -> String {
    let is_plain = value.bytes().all(|byte| (b' '..=b'~').contains(&byte))
        && value.trim() == value
        && !value.starts_with("=?base64?");
    if is_plain { value.to_owned() } else { format!("=?base64?{}?=", STANDARD.encode(value)) }
}

/// The value of a header. `None` if it has the form `=?base64?...?=` and is no Base64.
pub(super) fn decoded(value: &str) -> Option<String> {
    let Some(encoded) = value.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?="))
    else {
        return Some(value.to_owned());
    };
    String::from_utf8(STANDARD.decode(encoded).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_survives_a_header() {
        for value in ["plain", "", " spaces ", "ä", "=?base64?x?=", "a\nb"] {
            let sent = encoded(value);
            assert!(sent.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{sent}");
            assert_eq!(decoded(&sent).as_deref(), Some(value));
        }
    }

    #[test]
    fn only_values_in_the_whole_form_are_decoded() {
        for (value, text) in [
            ("plain", Some("plain")),
            ("=?base64?SGVsbG8=?=", Some("Hello")),
            ("=?base64?SGVsbG8?=", None),
            ("=?base64?SGVs!!!bG8=?=", None),
            ("SGVsbG8=?=", Some("SGVsbG8=?=")),
            ("=?base64?SGVsbG8=", Some("=?base64?SGVsbG8=")),
        ] {
            assert_eq!(decoded(value).as_deref(), text, "{value}");
        }
    }
}
