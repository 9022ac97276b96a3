//! JSON that somebody has us keep.

use std::collections::BTreeMap;

use entity::{JsonObject, JsonText};
use serde_json::{Map, Value};

use super::problem::{Problem, Result};

/// Bytes of a JSON object. Snapshots and lists hold many of them.
const MAX_OBJECT: usize = 16_384;

/// The object `name` of a request as it is stored, if it is not too large.
pub(super) fn object(name: &str, members: BTreeMap<String, Value>) -> Result<JsonObject> {
    let object = JsonObject::from(members.into_iter().collect::<Map<_, _>>());
    if object.as_str().len() > MAX_OBJECT {
        let detail = format!("{name}: more than {MAX_OBJECT} bytes as JSON");
        return Err(Problem::bad_request(detail));
    }
    Ok(object)
}

/// The value `name` of a request as it is stored, if it has no more than this many bytes.
pub(super) fn value(name: &str, value: &Value, most: usize) -> Result<JsonText> {
    let text = JsonText::from(value);
    if text.as_str().len() > most {
        return Err(Problem::bad_request(format!("{name}: more than {most} bytes as JSON")));
    }
    Ok(text)
}
