//! Converts schemas of OpenAPI 3.0 to JSON Schema 2020-12.

use serde_json::{Value, json};

/// Replaces the keywords of OpenAPI 3.0 that JSON Schema 2020-12 does not have.
pub(super) fn to_json_schema_2020(value: &mut Value) {
    match value {
        Value::Object(object) => {
            if object.remove("nullable") == Some(Value::Bool(true)) {
                if let Some(kind) = object.get("type").cloned() {
                    object.insert("type".to_owned(), json!([kind, "null"]));
                } else {
                    let about = ["description", "example"].map(|word| object.remove_entry(word));
                    let one = Value::Object(std::mem::take(object));
                    object.insert("anyOf".to_owned(), json!([one, { "type": "null" }]));
                    object.extend(about.into_iter().flatten());
                }
            }
            for (exclusive, bound) in
                [("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")]
            {
                if object.get(exclusive).is_some_and(Value::is_boolean)
                    && object.remove(exclusive) == Some(Value::Bool(true))
                    && let Some(number) = object.remove(bound)
                {
                    object.insert(exclusive.to_owned(), number);
                }
            }
            object.values_mut().for_each(to_json_schema_2020);
        }
        Value::Array(array) => array.iter_mut().for_each(to_json_schema_2020),
        _ => {}
    }
}
