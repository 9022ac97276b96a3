//! Descriptions and examples of every parameter and field.

use serde_json::{Map, Value};
use uuid::Uuid;

use crate::support::openapi::{Operation, assert_none, both, is_text, operations, resolve};

#[test]
fn every_parameter_and_field_has_a_description_and_an_example() {
    let mut faults = Vec::new();
    for (file, document) in both() {
        for Operation { id, value, .. } in operations(&document) {
            for parameter in value["parameters"].as_array().into_iter().flatten() {
                let name = &parameter["name"];
                let Some(example) = parameter_example(parameter) else {
                    faults.push(format!("{file}: {id}: parameter {name}: {parameter}"));
                    continue;
                };
                if let Err(why) = fits(&document, &parameter["schema"], &example) {
                    faults.push(format!("{file}: {id}: parameter {name}: the example: {why}"));
                }
            }
        }
        let schemas = document["components"]["schemas"].as_object().expect("schemas");
        for (name, schema) in schemas {
            for (field, schema) in schema["properties"].as_object().into_iter().flatten() {
                // The target of a reference has both. In 3.0 a reference has no siblings.
                let whole = schema.get("$ref").is_some();
                let holds = schema.to_string().contains("$ref");
                if !whole && !is_text(&schema["description"]) {
                    faults.push(format!("{file}: {name}.{field}: no description"));
                }
                let example = schema.get("example").unwrap_or(&Value::Null);
                if !holds && example.is_null() {
                    faults.push(format!("{file}: {name}.{field}: no example"));
                }
            }
        }
    }
    assert_none(&faults);
}

#[test]
fn every_example_is_valid_under_its_own_schema() {
    let mut faults = Vec::new();
    for (file, document) in both() {
        let schemas = document["components"]["schemas"].as_object().expect("schemas");
        for (name, schema) in schemas {
            let own = [(name.clone(), schema)];
            let fields = schema["properties"].as_object().into_iter().flatten();
            let fields = fields.map(|(field, schema)| (format!("{name}.{field}"), schema));
            for (place, schema) in own.into_iter().chain(fields) {
                let example = schema.get("example");
                if let Some(Err(why)) = example.map(|example| fits(&document, schema, example)) {
                    faults.push(format!("{file}: {place}: {why}"));
                }
            }
        }
    }
    assert_none(&faults);
}

/// The example of a parameter. It is in the description if Swagger UI must not enter it into its form.
fn parameter_example(parameter: &Value) -> Option<Value> {
    let description = parameter["description"].as_str().filter(|text| !text.is_empty())?;
    if !parameter["example"].is_null() {
        return Some(parameter["example"].clone());
    }
    let text = description.rsplit_once("Example: `")?.1.strip_suffix("`.")?;
    Some(serde_json::from_str(text).unwrap_or_else(|_| text.into()))
}

/// Checks a value against a schema, for the keywords that these documents use.
pub fn fits(document: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let of_type = |name: &&str| match *name {
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => value.is_null(),
    };
    let nullable = schema["nullable"] == true && value.is_null();
    if !types.is_empty() && !nullable && !types.iter().any(of_type) {
        return Err(format!("{value} is not of the type {types:?}"));
    }
    let text = value.as_str().unwrap_or_default();
    if schema["format"] == "uuid" && value.is_string() && text.parse::<Uuid>().is_err() {
        return Err(format!("{value} is not a UUID"));
    }
    if schema["enum"].as_array().is_some_and(|values| !values.contains(value)) {
        return Err(format!("{value} is not one of {}", schema["enum"]));
    }
    if let Some(reference) = schema["$ref"].as_str() {
        fits(document, resolve(document, reference), value)?;
    }
    for part in schema["allOf"].as_array().into_iter().flatten() {
        fits(document, part, value)?;
    }
    for item in value.as_array().into_iter().flatten() {
        fits(document, &schema["items"], item)?;
    }
    let (none, nothing) = (Vec::new(), Map::new());
    let members = value.as_object().unwrap_or(&nothing);
    for name in schema["required"].as_array().unwrap_or(&none).iter().filter_map(Value::as_str) {
        if value.is_object() && !members.contains_key(name) {
            return Err(format!("{name} is required"));
        }
    }
    for (name, schema) in schema["properties"].as_object().unwrap_or(&nothing) {
        if let Some(member) = members.get(name) {
            fits(document, schema, member).map_err(|why| format!("{name}: {why}"))?;
        }
    }
    Ok(())
}
