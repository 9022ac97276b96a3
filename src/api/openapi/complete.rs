//! Completes the document that poem-openapi writes, for both versions.

use poem_openapi::registry::Registry;
use serde_json::{Value, json};

use super::{
    examples::{add_example, field_examples},
    operations::{is_stream, members, operations, visit},
};
use crate::api::{
    problem::example as problem_example,
    streams::{documented_parameters, register_parameters},
};

/// Adds the parts that poem-openapi leaves out, and corrects its errors.
pub(super) fn complete(document: &mut Value) {
    let mut registry = Registry::new();
    register_parameters(&mut registry);
    add_schemas(document, registry);
    for schema in members(&mut document["components"]["schemas"]) {
        field_examples(schema);
    }
    for (_, operation) in operations(document) {
        remove_impossible(operation);
        if operation.get("security").is_none() {
            // Without it, a linter cannot know whether an operation is public or was forgotten.
            operation["security"] = json!([]);
        }
        let summary = operation.get("summary").cloned().unwrap_or_default();
        for (status, response) in operation["responses"].as_object_mut().into_iter().flatten() {
            if response["description"] == "" {
                response["description"] = summary.clone();
            }
            if let (Some(problem), Ok(status)) =
                (response.pointer_mut("/content/application~1problem+json"), status.parse())
            {
                problem["example"] = problem_example(status);
            }
        }
        if is_stream(operation)
            && let Some(own) = operation["parameters"].as_array_mut()
        {
            own.extend(documented_parameters());
        }
        for parameter in
            operation.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten()
        {
            add_example(parameter);
        }
    }
    let taken: Vec<String> = operations(document)
        .filter_map(|(_, operation)| {
            let schema = "/requestBody/content/application~1json/schema/$ref";
            Some(operation.pointer(schema)?.as_str()?.rsplit('/').next()?.to_owned())
        })
        .collect();
    for name in taken {
        take_null(&mut document["components"]["schemas"][name]);
    }
    tidy(document);
}

/// Allows null for the optional fields of a request body. There, null means the same as absent.
fn take_null(schema: &mut Value) {
    let required = schema.get("required").cloned().unwrap_or_default();
    let fields = schema.get_mut("properties").and_then(Value::as_object_mut);
    for (name, field) in fields.into_iter().flatten() {
        let is_required = required.as_array().is_some_and(|names| names.contains(&json!(name)));
        if !is_required && field.get("default").is_none() {
            field["nullable"] = json!(true);
        }
    }
}

/// Removes the statuses about parameters and bodies from an operation that has none. The other statuses come from the
/// result type of the operation.
fn remove_impossible(operation: &mut Value) {
    let has_body = operation.get("requestBody").is_some();
    let has_parameters =
        operation["parameters"].as_array().is_some_and(|parameters| !parameters.is_empty());
    let Some(responses) = operation["responses"].as_object_mut() else { return };
    if !has_body {
        for status in ["408", "413", "415"] {
            responses.remove(status);
        }
    }
    if !has_body && !has_parameters {
        responses.remove("400");
    }
}

/// Adds the schemas that the document does not have yet.
pub(super) fn add_schemas(document: &mut Value, registry: Registry) {
    let Some(schemas) = document["components"]["schemas"].as_object_mut() else { return };
    for (name, schema) in registry.schemas {
        let mut schema = serde_json::to_value(&schema).expect("a schema is JSON");
        field_examples(&mut schema);
        schemas.entry(name).or_insert(schema);
    }
}

/// Corrects what poem-openapi writes in schemas. It writes `default: null`, which is not valid, for `#[oai(default)]`
/// on an optional value. For a reference with a description it writes two members of `allOf`, and many generators
/// cannot read this. They can read one member with the description next to `allOf`.
pub(super) fn tidy(document: &mut Value) {
    visit(document, &mut |value| {
        let Some(schema) = value.as_object_mut() else { return };
        if schema.get("default").is_some_and(Value::is_null) {
            schema.remove("default");
        }
        if let Some(parts) = schema.get_mut("allOf").and_then(Value::as_array_mut)
            && let [reference, description] = parts.as_slice()
            && reference.get("$ref").is_some()
            && description.as_object().is_some_and(|only| only.keys().eq(["description"]))
        {
            let description = parts.remove(1)["description"].take();
            schema.insert("description".to_owned(), description);
        }
    });
}
