//! JSON from requests that the gateway stores.

use std::collections::BTreeMap;

use entity::{JsonObject, JsonText};
use serde_json::{Map, Value};

use crate::family::error::{FamilyError, Result};

/// Maximum size of a JSON object, in bytes of JSON. One snapshot or list can contain many objects.
const MAX_OBJECT: usize = 16_384;

/// Converts the object in the field `name` of a request to its stored form.
///
/// # Errors
/// [`FamilyError::BadInput`] if it has more than 16,384 bytes as JSON.
pub fn json_object(name: &'static str, members: BTreeMap<String, Value>) -> Result<JsonObject> {
    let object = JsonObject::from(members.into_iter().collect::<Map<_, _>>());
    check(name, object.as_str(), MAX_OBJECT)?;
    Ok(object)
}

/// Converts the value in the field `name` of a request to its stored form.
///
/// # Errors
/// [`FamilyError::BadInput`] if it has more than `max` bytes as JSON.
pub fn json_value(name: &'static str, value: &Value, max: usize) -> Result<JsonText> {
    let text = JsonText::from(value);
    check(name, text.as_str(), max)?;
    Ok(text)
}

fn check(name: &'static str, text: &str, max: usize) -> Result<()> {
    if text.len() <= max {
        return Ok(());
    }
    Err(FamilyError::bad_input(name, format!("more than {max} bytes as JSON")))
}
