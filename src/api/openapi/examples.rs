//! Examples for fields and parameters.

use serde_json::{Value, json};

use crate::family::wire::example_id;

/// Gives every field the value that it has in the example of its object.
pub(super) fn field_examples(schema: &mut Value) {
    let example = schema.get("example").cloned().unwrap_or_default();
    let fields = schema.get_mut("properties").and_then(Value::as_object_mut);
    for (name, field) in fields.into_iter().flatten() {
        // A reference uses the example of its target, and OpenAPI 3.0 allows no other member next to `$ref`.
        let own = ["$ref", "allOf", "example"].iter().all(|word| field.get(word).is_none());
        let shown = example.get(name).filter(|value| !value.is_null()).cloned();
        let value = shown.or_else(|| absent_example(name));
        if let (true, Some(value)) = (own, value) {
            field["example"] = value;
        }
    }
}

/// The example of a field that is absent from the example of its object.
fn absent_example(name: &str) -> Option<Value> {
    match name {
        "next" => Some(json!(example_id())),
        "topics" => Some(json!([format!("topology.{}", example_id())])),
        "applied_at" | "completed_at" => Some(json!("2026-11-20T12:00:00.25Z")),
        "error" => Some(json!("the model does not respond")),
        "reason" => Some(json!("the node does not respond")),
        "issuer" => Some(json!("https://id.example.com/realms/main")),
        "subject" => Some(json!("f1d6b1a4-7d0c-4b6e-9a55-2f3f6f0c8a11")),
        "display_name" => Some(json!("Ada Lovelace")),
        "requires" => Some(json!(["github"])),
        "authorization_url" => {
            Some(json!(format!("https://example.com/v1/oauth/authorize?request={}", example_id())))
        }
        "reset" => Some(json!("pruned")),
        "password" => Some(json!("correct horse battery staple")),
        _ => None,
    }
}

/// Adds the example of a parameter. Swagger UI enters each example into its form, and a wrong value for an optional
/// parameter makes a request fail or find nothing. So most optional parameters have it as a part of the description.
pub(super) fn add_example(parameter: &mut Value) {
    let example = parameter_example(parameter);
    let is_bound = matches!(parameter["name"].as_str(), Some("max_events" | "max_seconds"));
    if parameter["required"] == true || is_bound {
        parameter["example"] = example;
    } else if let Some(description) = parameter["description"].as_str() {
        let example = example.as_str().map_or_else(|| example.to_string(), str::to_owned);
        parameter["description"] = json!(format!("{description} Example: `{example}`."));
    }
}

/// The example of a parameter. Parameters with the same name have the same example, unless their types differ.
pub(super) fn parameter_example(parameter: &Value) -> Value {
    let is_id = parameter["schema"]["format"] == "uuid";
    match parameter["name"].as_str().unwrap_or_default() {
        _ if is_id => json!(example_id()),
        "after" | "last_event_id" | "Last-Event-ID" => json!("2f1a3b9c-42-5d8e01f7"),
        "topic" => json!([format!("topology.{}", example_id())]),
        "limit" => json!(50),
        // Swagger UI shows a response when it has ended.
        "max_events" | "max_seconds" => json!(5),
        "on_refusal" => json!("event"),
        "overflow" => json!("catch_up"),
        "status" if refers_to(parameter, "TaskStatus") => json!("running"),
        "status" => json!("active"),
        "kind" => json!("login.failed"),
        "provider" => json!("github"),
        "state" if parameter["schema"]["type"] == "string" => {
            json!("q0Vq6cYw2m4xO2m1o9V1h0nYx3J8m0vQ4n3m1J2k3L4")
        }
        "state" => json!("pending"),
        "code" => json!("SplxlOBeZQQYbYS6WxSbIA"),
        "error" => json!("access_denied"),
        "iss" => json!("https://id.example.com"),
        "tunnel" => json!("@ada"),
        "username" => json!("grace"),
        "X-Tunnel-Name" | "name" => json!("everything"),
        "X-Session-ID" => json!("3f2b8c1d9e7a4f60b5c8d2e1a7f90b34"),
        "unread" => json!(true),
        "wait" => json!(false),
        "task_type" => json!("summarize"),
        _ => Value::Null,
    }
}

fn refers_to(parameter: &Value, schema: &str) -> bool {
    let reference = parameter["schema"]["$ref"].as_str().unwrap_or_default();
    reference.strip_prefix("#/components/schemas/") == Some(schema)
}
