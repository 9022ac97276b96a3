//! The OpenAPI documents: what poem-openapi writes, completed.
//!
//! Two versions, because no one document serves all. Generators eat 3.0 and only 3.0, where an
//! event is a record of strings. 3.2 can say what is in a stream (`itemSchema`): each event by its
//! name, with the type of its data.

use bytes::Bytes;
use poem_openapi::{OpenApi, OpenApiService, registry::Registry};
use serde_json::{Map, Value, json};

use super::{
    example_id,
    problem::example as problem_example,
    stream::{CONTROL_EVENTS, DROPPED, EVENT_STREAM, parameters},
    stream_route::stream_operation,
    streams::TOPIC_CLOSED,
};
use crate::{
    event::Family,
    family::{EventKind, resource_family},
};

/// The operation that streams many topics.
const STREAM_OF_MANY: &str = "stream_open";

/// Which document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// OpenAPI 3.0, for generators.
    V3_0,
    /// OpenAPI 3.2, with typed events.
    V3_2,
}

/// Both documents, and the page.
pub struct Documents {
    v3_0: Value,
    /// As text to read, as they are kept under `openapi/`. Shared by all answers: a client that
    /// asks a hundred times and reads nothing must not cost a hundred copies.
    texts: [Bytes; 2],
    page: Bytes,
}

impl Documents {
    pub(super) fn of<A: OpenApi>(service: &OpenApiService<A, ()>) -> Self {
        let spec = service.spec();
        let mut v3_0: Value = serde_json::from_str(&spec).expect("poem-openapi writes JSON");
        complete(&mut v3_0);
        let v3_2 = with_typed_events(v3_0.clone());
        let page = service.swagger_ui_html().replace(&spec, &v3_0.to_string());
        let texts = [&v3_0, &v3_2].map(|document| format!("{document:#}\n").into());
        Self { v3_0, texts, page: page.into() }
    }

    /// The document as text.
    #[must_use]
    pub fn text(&self, version: Version) -> Bytes {
        match version {
            Version::V3_0 => self.texts[0].clone(),
            Version::V3_2 => self.texts[1].clone(),
        }
    }

    /// The 3.0 document.
    pub(super) fn v3_0(&self) -> &Value {
        &self.v3_0
    }

    /// Swagger UI with the 3.0 document inside.
    pub(super) fn page(&self) -> Bytes {
        self.page.clone()
    }
}

/// What poem-openapi leaves out or gets wrong.
fn complete(document: &mut Value) {
    document["openapi"] = json!("3.0.3");
    let mut registry = Registry::new();
    parameters::register(&mut registry);
    add_schemas(document, registry);
    for schema in members(&mut document["components"]["schemas"]) {
        field_examples(schema);
    }
    for (method, operation) in operations(document) {
        remove_impossible(method, operation);
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
        if operation["responses"]["200"]["content"].get(EVENT_STREAM).is_some()
            && let Some(own) = operation["parameters"].as_array_mut()
        {
            own.extend(parameters::listed());
        }
        for parameter in
            operation.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten()
        {
            parameter["example"] = parameter_example(parameter);
        }
    }
    let taken: Vec<String> = operations(document)
        .filter_map(|(_, operation)| {
            let schema = "/requestBody/content/application~1json; charset=utf-8/schema/$ref";
            Some(operation.pointer(schema)?.as_str()?.rsplit('/').next()?.to_owned())
        })
        .collect();
    for name in taken {
        take_null(&mut document["components"]["schemas"][name]);
    }
    remove_null_defaults(document);
}

/// In a body that is sent to us, null means the same as absent.
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

/// All operations share one type of error. What cannot happen is taken out again: nothing conflicts
/// with reading or needs room for it, and without a body there is nothing to be late, large or of another type.
fn remove_impossible(method: &str, operation: &mut Value) {
    let has_body = operation.get("requestBody").is_some();
    let statuses = operation["responses"].as_object_mut().into_iter();
    for responses in statuses {
        if method == "get" {
            responses.remove("409");
            responses.remove("507");
        }
        if !has_body {
            for status in ["408", "413", "415"] {
                responses.remove(status);
            }
        }
    }
}

/// Every field shows the value that it has in the example of its object.
fn field_examples(schema: &mut Value) {
    let example = schema.get("example").cloned().unwrap_or_default();
    let fields = schema.get_mut("properties").and_then(Value::as_object_mut);
    for (name, field) in fields.into_iter().flatten() {
        // A reference has its example where it points to, and takes no siblings in 3.0.
        let own = field.get("$ref").is_none() && field.get("example").is_none();
        let value = example.get(name).cloned().or_else(|| absent_example(name));
        if let (true, Some(value)) = (own, value) {
            field["example"] = value;
        }
    }
}

/// For fields that are absent from the example of their object.
fn absent_example(name: &str) -> Option<Value> {
    match name {
        "next" => Some(json!(example_id())),
        "topics" => Some(json!([format!("topology.{}", example_id())])),
        "applied_at" | "completed_at" => Some(json!("2026-11-20T12:00:00.25Z")),
        "error" => Some(json!("the model does not answer")),
        "reason" => Some(json!("the node does not answer")),
        "reset" => Some(json!("pruned")),
        "password" => Some(json!("correct horse battery staple")),
        _ => None,
    }
}

/// One value for each name, since a name means the same in every operation, if not of the same type.
fn parameter_example(parameter: &Value) -> Value {
    let is_id = parameter["schema"]["format"] == "uuid";
    match parameter["name"].as_str().unwrap_or_default() {
        _ if is_id => json!(example_id()),
        "after" | "last_event_id" | "Last-Event-ID" => json!("2f1a3b9c-42-5d8e01f7"),
        "topic" => json!([format!("topology.{}", example_id())]),
        "limit" => json!(50),
        "max_events" => json!(10),
        "max_seconds" => json!(60),
        "on_refusal" => json!("event"),
        "overflow" => json!("catch_up"),
        "status" if refers_to(parameter, "TaskStatus") => json!("running"),
        "status" => json!("active"),
        "state" => json!("pending"),
        "unread" => json!(true),
        "task_type" => json!("summarize"),
        _ => Value::Null,
    }
}

fn refers_to(parameter: &Value, schema: &str) -> bool {
    let reference = parameter["schema"]["$ref"].as_str().unwrap_or_default();
    reference.strip_prefix("#/components/schemas/") == Some(schema)
}

/// `#[oai(default)]` on an optional value comes out as `default: null`, which is not valid.
fn remove_null_defaults(value: &mut Value) {
    match value {
        Value::Object(object) => {
            if object.get("default").is_some_and(Value::is_null) {
                object.remove("default");
            }
            object.values_mut().for_each(remove_null_defaults);
        }
        Value::Array(array) => array.iter_mut().for_each(remove_null_defaults),
        _ => {}
    }
}

/// OpenAPI 3.2 with the types of all events.
fn with_typed_events(mut document: Value) -> Value {
    document["openapi"] = json!("3.2.0");
    document["info"]["license"]["identifier"] = json!("MIT OR Apache-2.0");
    let mut registry = Registry::new();
    for (_, operation) in operations(&mut document) {
        if let Some(lines) = operation.pointer_mut("/requestBody/content/application~1x-ndjson") {
            // 3.0 has no word for what is in a line.
            *lines = json!({ "itemSchema": { "$ref": "#/components/schemas/NewPromptEvent" } });
        }
        let id = operation["operationId"].as_str().unwrap_or_default();
        let family = Family::ALL.into_iter().find(|family| stream_operation(*family) == id);
        let mut events = match family {
            Some(family) => {
                let own = resource_family(family).events().iter().chain([&DROPPED]);
                own.map(|kind| event(kind, true, &data(kind, &mut registry))).collect()
            }
            None if id == STREAM_OF_MANY => events_of_many(&mut registry),
            None => continue,
        };
        events.extend(
            CONTROL_EVENTS.iter().map(|kind| event(kind, false, &data(kind, &mut registry))),
        );
        operation["responses"]["200"]["content"][EVENT_STREAM] =
            json!({ "itemSchema": { "oneOf": events } });
    }
    add_schemas(&mut document, registry);
    if let Some(schemas) = document["components"]["schemas"].as_object_mut() {
        // What an event is made of has a type of its own now.
        schemas.remove("StreamEvent");
    }
    remove_null_defaults(&mut document);
    without_3_0_words(&mut document);
    document
}

/// Adds the schemas that are not there yet.
fn add_schemas(document: &mut Value, registry: Registry) {
    let Some(schemas) = document["components"]["schemas"].as_object_mut() else { return };
    for (name, schema) in registry.schemas {
        let mut schema = serde_json::to_value(&schema).expect("a schema is JSON");
        field_examples(&mut schema);
        schemas.entry(name).or_insert(schema);
    }
}

/// The events of all families, each with its topic around the data. What several families call by
/// one name is one event, whose topic tells what its data is.
fn events_of_many(registry: &mut Registry) -> Vec<Value> {
    let mut kinds: Vec<(&EventKind, Vec<Value>)> = Vec::new();
    for family in Family::ALL {
        for kind in resource_family(family).events().iter().chain([&DROPPED]) {
            let envelope = json!({
                "type": "object",
                "properties": {
                    "topic": { "type": "string", "pattern": format!("^{}\\.", family.name()) },
                    "data": data(kind, registry),
                },
                "required": ["topic", "data"],
            });
            match kinds.iter_mut().find(|(known, _)| known.kind == kind.kind) {
                Some((_, envelopes)) => envelopes.push(envelope),
                None => kinds.push((kind, vec![envelope])),
            }
        }
    }
    let events = kinds
        .into_iter()
        .map(|(kind, envelopes)| event(kind, true, &json!({ "oneOf": envelopes })));
    let mut events: Vec<Value> = events.collect();
    events.push(event(&TOPIC_CLOSED, true, &data(&TOPIC_CLOSED, registry)));
    events
}

fn data(kind: &EventKind, registry: &mut Registry) -> Value {
    serde_json::to_value((kind.schema)(registry)).expect("a schema is JSON")
}

fn event(kind: &EventKind, has_cursor: bool, data: &Value) -> Value {
    let mut properties = json!({
        "event": { "type": "string", "const": kind.kind },
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": data,
        },
    });
    let mut required = vec!["event", "data"];
    if has_cursor {
        properties["id"] = json!({ "type": "string", "description": "The cursor to resume from." });
        required.push("id");
    } else {
        // Tells them from a family's events of the same kind.
        properties["id"] = json!(false);
        properties["retry"] =
            json!({ "type": "integer", "description": "Reconnect after, in milliseconds." });
    }
    json!({
        "type": "object",
        "description": kind.description,
        "properties": properties,
        "required": required,
    })
}

/// JSON Schema 2020-12 has its own words for what 3.0 had.
fn without_3_0_words(value: &mut Value) {
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
            object.values_mut().for_each(without_3_0_words);
        }
        Value::Array(array) => array.iter_mut().for_each(without_3_0_words),
        _ => {}
    }
}

fn operations(document: &mut Value) -> impl Iterator<Item = (&str, &mut Value)> {
    members(&mut document["paths"])
        .filter_map(Value::as_object_mut)
        .flatten()
        .map(|(method, operation)| (method.as_str(), operation))
}

fn members(object: &mut Value) -> impl Iterator<Item = &mut Value> {
    object.as_object_mut().into_iter().flat_map(Map::values_mut)
}
