//! OpenAPI 3.2: the type of every event of every stream (`itemSchema`).

use poem_openapi::registry::Registry;
use serde_json::{Value, json};

use super::{
    complete::{add_schemas, tidy},
    operations::operations,
};
use crate::{
    api::streams::{CONTROL_EVENTS, DROPPED, EVENT_STREAM, TOPIC_CLOSED, stream_operation},
    event::Family,
    family::{EventKind, resource_family},
};

/// The operation that streams several topics.
const STREAM_OF_SEVERAL: &str = "topic_stream";

/// Gives every stream the types of all its events.
pub(super) fn add_typed_events(document: &mut Value) {
    let mut registry = Registry::new();
    for (_, operation) in operations(document) {
        let id = operation["operationId"].as_str().unwrap_or_default();
        let family = Family::ALL.into_iter().find(|family| stream_operation(*family) == id);
        let mut events = match family {
            Some(family) => {
                let own = resource_family(family).events().iter().chain([&DROPPED]);
                own.map(|kind| event(kind, true, &data(kind, &mut registry))).collect()
            }
            None if id == STREAM_OF_SEVERAL => events_of_many(&mut registry),
            None => continue,
        };
        events.extend(
            CONTROL_EVENTS.iter().map(|kind| event(kind, false, &data(kind, &mut registry))),
        );
        operation["responses"]["200"]["content"][EVENT_STREAM] =
            json!({ "itemSchema": { "oneOf": events } });
    }
    add_schemas(document, registry);
    tidy(document);
}

/// The events of all families, each with its topic and data. If several families have events of the same kind, these
/// become one event, and the topic determines the type of the data.
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
    let events = kinds.into_iter().map(|(kind, mut envelopes)| {
        let data = match envelopes.len() {
            1 => envelopes.remove(0),
            _ => json!({ "oneOf": envelopes }),
        };
        event(kind, true, &data)
    });
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
        properties["id"] = json!({ "type": "string", "description": "Cursor to resume after." });
        required.push("id");
    } else {
        // Control events have no id. This distinguishes them from a family's events of the same kind.
        properties["id"] = json!(false);
        properties["retry"] = json!({ "type": "integer", "description": "Time to wait before a reconnect, in milliseconds." });
    }
    json!({
        "type": "object",
        "description": kind.description,
        "properties": properties,
        "required": required,
    })
}
