//! JSON that is relayed: it leaves with the text that it came with.

use serde::{Serialize, Serializer};
use serde_json::{Map, Value, value::RawValue};

/// The key of an object that stands for JSON text. No request can contain it, because the parser refuses all keys that
/// `serde_json` reserves.
const EMBEDDED: &str = "$serde_json::private::streamgate";

/// A value that stands for this JSON text. [`Relayed`] writes the text.
#[must_use]
pub fn embed(text: impl Into<String>) -> Value {
    Value::Object(Map::from_iter([(EMBEDDED.to_owned(), Value::String(text.into()))]))
}

/// The text of an [`embed`]ded value. `None` for other values.
fn embedded(value: &Value) -> Option<&str> {
    let members = value.as_object().filter(|members| members.len() == 1)?;
    members.get(EMBEDDED)?.as_str()
}

/// A value that is written with its [`embed`]ded texts.
///
/// `serde_json` keeps a number as an integer of 64 bits or a double, so `117.63331139400017` can change on its way. But
/// poem-openapi passes every body through [`Value`]. A `Value` therefore carries such numbers, and JSON of the
/// database, as text under a key that cannot come from a request.
///
/// The feature `arbitrary_precision` of `serde_json` was the alternative. It writes `1e400` as `1e+400`. It holds for
/// the whole binary, and shows each number as a map to code that asks for any type. With it, `jsonwebtoken` finds no
/// token valid any more.
pub struct Relayed<'a>(pub &'a Value);

impl Serialize for Relayed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Array(items) => serializer.collect_seq(items.iter().map(Relayed)),
            Value::Object(members) => {
                if let Some(text) = embedded(self.0) {
                    // Null if a column of the database does not contain JSON.
                    let raw = serde_json::from_str::<&RawValue>(text).ok();
                    return raw.serialize(serializer);
                }
                let members = members.iter().map(|(key, value)| (key, Relayed(value)));
                serializer.collect_map(members)
            }
            plain => plain.serialize(serializer),
        }
    }
}

/// The JSON text of a value, with its [`embed`]ded texts.
///
/// # Panics
/// Never: a value has only keys that are strings.
#[must_use]
pub fn text(value: &Value) -> String {
    serde_json::to_string(&Relayed(value)).expect("a value is JSON")
}

/// Whether the value is [`embed`]ded text. In a parsed body, it is then a number.
#[must_use]
pub fn is_embedded(value: &Value) -> bool {
    embedded(value).is_some()
}

/// Whether the value is an integer of any size.
#[must_use]
pub fn is_integer(value: &Value) -> bool {
    let is_digits = |text: &str| {
        let digits = text.strip_prefix('-').unwrap_or(text);
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    value.is_i64() || value.is_u64() || embedded(value).is_some_and(is_digits)
}

/// Replaces a reason that names the key of an [`embed`]ded number, which the client never sent.
#[must_use]
pub fn without_embedded(reason: String) -> String {
    let names_key = reason.split(" found ").next().is_some_and(|start| start.contains(EMBEDDED));
    if names_key { "a number is in the place of an object".to_owned() } else { reason }
}
