//! Converts schemas of OpenAPI 3.0 to JSON Schema 2020-12.

use serde_json::{Map, Value, json};

use super::operations::visit;

/// Replaces the keywords of OpenAPI 3.0 that JSON Schema 2020-12 does not have, and the forms that only 3.0 needs.
pub(super) fn to_json_schema_2020(document: &mut Value) {
    visit(document, &mut |value| {
        if let Some(schema) = value.as_object_mut() {
            flatten_reference(schema);
            convert_nullable(schema);
            convert_exclusive(schema);
        }
    });
}

/// Replaces `allOf` with one reference by the reference. In JSON Schema 2020-12, a reference can have siblings.
fn flatten_reference(schema: &mut Map<String, Value>) {
    if let Some(parts) = schema.get("allOf").and_then(Value::as_array)
        && let [part] = parts.as_slice()
        && let Some(reference) = part.get("$ref").cloned()
    {
        schema.remove("allOf");
        schema.insert("$ref".to_owned(), reference);
    }
}

/// Replaces `nullable: true`. A schema without a type allows null already.
fn convert_nullable(schema: &mut Map<String, Value>) {
    if schema.remove("nullable") != Some(Value::Bool(true)) {
        return;
    }
    if let Some(kind) = schema.get("type").cloned() {
        schema.insert("type".to_owned(), json!([kind, "null"]));
    } else if let Some(reference) = schema.remove("$ref") {
        schema.insert("anyOf".to_owned(), json!([{ "$ref": reference }, { "type": "null" }]));
    }
}

/// Replaces `exclusiveMinimum: true` and `exclusiveMaximum: true` by their bounds.
fn convert_exclusive(schema: &mut Map<String, Value>) {
    for (exclusive, bound) in [("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")] {
        if schema.get(exclusive).is_some_and(Value::is_boolean)
            && schema.remove(exclusive) == Some(Value::Bool(true))
            && let Some(number) = schema.remove(bound)
        {
            schema.insert(exclusive.to_owned(), number);
        }
    }
}
