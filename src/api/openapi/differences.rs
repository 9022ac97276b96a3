//! The differences between the two documents. Both are made from the complete document, which has every form that the
//! server accepts. Whatever is not in [`DIFFERENCES`] is the same in both.

use serde_json::{Value, json};

use super::{
    json_schema::to_json_schema_2020,
    operations::{is_stream, operations, visit},
    typed_events::add_typed_events,
};
use crate::api::credential::STREAM_TOKEN;

/// One difference: what each document needs, as a change of the complete document.
struct Difference {
    v3_0: fn(&mut Value),
    v3_2: fn(&mut Value),
}

const DIFFERENCES: [Difference; 9] = [
    // The version.
    Difference {
        v3_0: |document| document["openapi"] = json!("3.0.3"),
        v3_2: |document| {
            document["openapi"] = json!("3.2.0");
            document["info"]["license"]["identifier"] = document["info"]["license"]["name"].clone();
        },
    },
    // A stream's 200. OpenAPI 3.0 cannot describe the events. Any type that it could name would be false for some
    // generators, see docs/generators.md.
    Difference { v3_0: unchanged, v3_2: add_typed_events },
    // The credentials of a stream. Some generators send all alternatives at once, so that an access token gets into
    // the URL.
    Difference { v3_0: explain_stream_tokens, v3_2: unchanged },
    // The cursor. Generators give the header and the query parameter the same name.
    Difference { v3_0: remove_cursor_header, v3_2: unchanged },
    // The 204 of a stream. Generators allow one success status.
    Difference { v3_0: remove_empty_streams, v3_2: unchanged },
    // The responses of the operations that pass messages to an MCP server. Generators allow one type of success, and one of
    // error.
    Difference { v3_0: keep_one_response, v3_2: unchanged },
    // The media types of a request body. Generators allow one, and OpenAPI 3.0 cannot describe the lines of the other.
    Difference { v3_0: keep_json_body, v3_2: type_lines },
    // A body that is one item or an array of items. Generators give both types the same name.
    Difference { v3_0: keep_arrays, v3_2: unchanged },
    // The dialect of the schemas. Without a `type`, `nullable` has no effect (OpenAPI 3.0.3, section 4.7.24.1).
    Difference { v3_0: remove_untyped_nullable, v3_2: to_json_schema_2020 },
];

/// Makes the 3.0 document of the complete one.
pub(super) fn v3_0(mut complete: Value) -> Value {
    for difference in &DIFFERENCES {
        (difference.v3_0)(&mut complete);
    }
    complete
}

/// Makes the 3.2 document of the complete one.
pub(super) fn v3_2(mut complete: Value) -> Value {
    for difference in &DIFFERENCES {
        (difference.v3_2)(&mut complete);
    }
    complete
}

fn unchanged(_document: &mut Value) {}

fn streams(document: &mut Value) -> impl Iterator<Item = &mut Value> {
    operations(document).map(|(_, operation)| operation).filter(|operation| is_stream(operation))
}

fn explain_stream_tokens(document: &mut Value) {
    for stream in streams(document) {
        if let Some(alternatives) = stream["security"].as_array_mut() {
            alternatives.retain(|schemes| schemes.get(STREAM_TOKEN).is_none());
        }
        let words = "A client that cannot send the header `Authorization`, such as a browser's `EventSource`, sends a \
                     stream token from `POST /v1/stream-tokens` in the query parameter `stream_token` instead.";
        let description = stream["description"].as_str();
        let description = description.map_or(words.to_owned(), |text| format!("{text}\n\n{words}"));
        stream["description"] = json!(description);
    }
    if let Some(schemes) = document["components"]["securitySchemes"].as_object_mut() {
        schemes.remove(STREAM_TOKEN);
    }
}

fn remove_cursor_header(document: &mut Value) {
    for stream in streams(document) {
        if let Some(parameters) = stream["parameters"].as_array_mut() {
            parameters.retain(|parameter| parameter["name"] != "Last-Event-ID");
        }
    }
}

fn remove_empty_streams(document: &mut Value) {
    for stream in streams(document) {
        if let Some(responses) = stream["responses"].as_object_mut() {
            responses.remove("204");
        }
    }
}

fn keep_one_response(document: &mut Value) {
    for (_, operation) in operations(document) {
        let Some(responses) = operation["responses"].as_object_mut() else { continue };
        if responses.contains_key("200") {
            responses.remove("202");
        }
        // No generator knows WebSockets, and progenitor fails on this status.
        responses.remove("101");
        for (status, response) in responses {
            let content = response.get_mut("content").and_then(Value::as_object_mut);
            let Some(content) = content.filter(|content| content.len() > 1) else { continue };
            let kept = if status.as_str() < "400" {
                "application/json"
            } else {
                "application/problem+json"
            };
            if content.contains_key(kept) {
                content.retain(|media_type, _| media_type == kept);
            }
        }
    }
}

fn keep_json_body(document: &mut Value) {
    for (_, operation) in operations(document) {
        let content = operation.pointer_mut("/requestBody/content");
        if let Some(content) = content.and_then(Value::as_object_mut)
            && content.contains_key("application/json")
        {
            content.retain(|media_type, _| media_type == "application/json");
        }
    }
}

fn type_lines(document: &mut Value) {
    for (_, operation) in operations(document) {
        if let Some(lines) = operation.pointer_mut("/requestBody/content/application~1x-ndjson") {
            *lines = json!({ "itemSchema": { "$ref": "#/components/schemas/NewPromptEvent" } });
        }
    }
}

fn keep_arrays(document: &mut Value) {
    visit(document, &mut |schema| {
        let mut forms = schema.get("oneOf").and_then(Value::as_array).into_iter().flatten();
        let array = forms.find(|form| form["type"] == "array").cloned();
        if let (Some(Value::Object(array)), Some(schema)) = (array, schema.as_object_mut()) {
            schema.remove("oneOf");
            schema.extend(array);
        }
    });
}

fn remove_untyped_nullable(document: &mut Value) {
    visit(document, &mut |schema| {
        if let Some(schema) = schema.as_object_mut()
            && !schema.contains_key("type")
        {
            schema.remove("nullable");
        }
    });
}
