//! Values that Swagger UI enters into its form before the user does.

use serde_json::{Value, json};

use crate::support::openapi::{Operation, assert_none, both, operations, resolve};

/// The optional parameters that Swagger UI may fill in, so that a stream ends, and their value.
const PREFILLED: [&str; 2] = ["max_events", "max_seconds"];

/// The values that Swagger UI uses for a parameter, as its `ParameterRow` looks for them.
fn prefilled(document: &Value, parameter: &Value) -> Vec<Value> {
    let mut schema = &parameter["schema"];
    if let Some(reference) = schema["$ref"].as_str() {
        schema = resolve(document, reference);
    }
    let places = [
        &parameter["example"],
        &parameter["examples"],
        &parameter["content"],
        &parameter["default"],
        &schema["example"],
        &schema["examples"],
        &schema["default"],
    ];
    places.into_iter().filter(|value| !value.is_null()).cloned().collect()
}

#[test]
fn swagger_ui_prefills_only_the_bounds_of_streams() {
    let (mut faults, mut bounds) = (Vec::new(), 0);
    for (file, document) in both() {
        for Operation { id, value, .. } in operations(&document) {
            for parameter in value["parameters"].as_array().into_iter().flatten() {
                let name = parameter["name"].as_str().expect("a name");
                let found = prefilled(&document, parameter);
                if PREFILLED.contains(&name) {
                    bounds += 1;
                    if found != [json!(5)] {
                        faults.push(format!("{file}: {id}: {name}: {found:?}"));
                    }
                } else if parameter["required"] != true && !found.is_empty() {
                    faults.push(format!("{file}: {id}: {name}: {found:?}"));
                }
            }
        }
    }
    assert_none(&faults);
    assert!(bounds > 20, "{bounds}");
}
