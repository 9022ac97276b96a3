//! JSON-RPC messages (JSON-RPC 2.0, sections 4 and 5), as the Model Context Protocol uses them.

use std::borrow::Cow;

use poem_openapi::{
    registry::{MetaSchema, MetaSchemaRef, Registry},
    types::{Example, ParseError, ParseFromJSON, ParseResult, ToJSON, Type},
};
use serde_json::{Map, Value, json};

use crate::json::{is_embedded, is_integer};

/// One JSON-RPC message: a request, a notification or a response. The values of its members are stored as they were
/// sent.
pub struct Message(pub Map<String, Value>);

const MEMBERS: [&str; 6] = ["jsonrpc", "id", "method", "params", "result", "error"];

/// The reason why this is not a JSON-RPC message. `None` if the message is valid.
fn violation(message: &Map<String, Value>) -> Option<&'static str> {
    let has = |name: &str| message.contains_key(name);
    if message.get("jsonrpc") != Some(&json!("2.0")) {
        return Some("`jsonrpc` must be \"2.0\"");
    }
    if message.keys().any(|name| !MEMBERS.contains(&name.as_str())) {
        return Some(
            "a message can have only the members jsonrpc, id, method, params, result and error",
        );
    }
    // Fractions are refused, because implementations may compare them differently (section 4).
    let is_id = |id: &Value| id.is_string() || is_integer(id);
    if let Some(method) = message.get("method") {
        let id_fits = message.get("id").is_none_or(is_id);
        let params_fit = message
            .get("params")
            .is_none_or(|it| it.is_array() || it.is_object() && !is_embedded(it));
        return if !method.is_string() {
            Some("`method` must be a string")
        } else if has("result") || has("error") {
            Some("a request has neither result nor error")
        } else if !id_fits {
            Some("`id` must be a string or an integer; a notification has none")
        } else if !params_fit {
            Some("`params` must be an object or an array")
        } else {
            None
        };
    }
    if has("params") || has("result") == has("error") {
        return Some(
            "a message without a method is a response: it has an id and either result or error",
        );
    }
    match message.get("id") {
        Some(id) if is_id(id) => {}
        // If a request could not be read, the id of its response is null (section 5).
        Some(Value::Null) if has("error") => {}
        _ => return Some("`id` must be the id of the request: a string or an integer"),
    }
    let error_fits = message.get("error").is_none_or(|error| {
        let code = error.get("code").is_some_and(is_integer);
        code && error.get("message").is_some_and(Value::is_string)
    });
    if error_fits { None } else { Some("`error` must have an integer code and a message") }
}

impl Type for Message {
    const IS_REQUIRED: bool = true;
    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        "JsonRpcMessage".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Reference(Self::name().into_owned())
    }

    fn register(registry: &mut Registry) {
        registry.create_schema::<Self, _>(Self::name().into_owned(), |_| {
            let property = |name, kind, description, example: Value| {
                let schema = MetaSchema {
                    description: Some(description),
                    example: Some(example),
                    ..MetaSchema::new(kind)
                };
                (name, MetaSchemaRef::Inline(Box::new(schema)))
            };
            // A schema without a type accepts any value.
            let any = "";
            let error = json!({ "code": -32601, "message": "Method not found" });
            MetaSchema {
                description: Some(
                    "A JSON-RPC 2.0 message: a request (method, id), a notification (method) or a \
                     response (id, and either result or error).",
                ),
                required: vec!["jsonrpc"],
                properties: vec![
                    property("jsonrpc", "string", "The version: `2.0`.", json!("2.0")),
                    property(
                        "id",
                        any,
                        "Id of a request and of its response: a string or an integer.",
                        json!(7),
                    ),
                    property(
                        "method",
                        "string",
                        "Method of a request or notification.",
                        json!("ping"),
                    ),
                    property(
                        "params",
                        any,
                        "Parameters of the method: an object or an array.",
                        json!({}),
                    ),
                    property("result", any, "Result of a request that succeeded.", json!({})),
                    property(
                        "error",
                        "object",
                        "Error of a request that failed: `code`, `message` and optional `data`.",
                        error,
                    ),
                ],
                example: Self::example().to_json(),
                ..MetaSchema::new("object")
            }
        });
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(std::iter::once(self))
    }
}

impl ParseFromJSON for Message {
    fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
        let Some(Value::Object(message)) = value else {
            return Err(ParseError::custom("one JSON-RPC message is expected, as a JSON object"));
        };
        match violation(&message) {
            Some(violation) => {
                Err(ParseError::custom(format!("not a JSON-RPC message: {violation}")))
            }
            None => Ok(Self(message)),
        }
    }
}

impl ToJSON for Message {
    fn to_json(&self) -> Option<Value> {
        Some(Value::Object(self.0.clone()))
    }
}

impl Example for Message {
    fn example() -> Self {
        let message = json!({
            "jsonrpc": "2.0",
            "id": 7,
            "method": "tools/call",
            "params": { "name": "search", "arguments": { "query": "streams" } },
        });
        Self(message.as_object().cloned().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_requests_notifications_and_responses_are_messages() {
        for message in [
            json!({"jsonrpc": "2.0", "id": 1, "method": "ping"}),
            json!({"jsonrpc": "2.0", "id": "a", "method": "tools/call", "params": {"name": "x"}}),
            json!({"jsonrpc": "2.0", "id": 1, "method": "subtract", "params": [42, 23]}),
            json!({"jsonrpc": "2.0", "method": "notifications/initialized"}),
            json!({"jsonrpc": "2.0", "id": 1, "result": {}}),
            json!({"jsonrpc": "2.0", "id": 1, "result": null}),
            json!({"jsonrpc": "2.0", "id": 1, "error": {"code": -32601, "message": "no"}}),
            json!({"jsonrpc": "2.0", "id": null, "error": {"code": -32700, "message": "what"}}),
        ] {
            let parsed = Message::parse_from_json(Some(message.clone()));
            let parsed = parsed.unwrap_or_else(|_| panic!("{message} was refused"));
            assert_eq!(parsed.to_json(), Some(message));
        }
        for message in [
            json!([{"jsonrpc": "2.0", "method": "ping"}]),
            json!("ping"),
            json!({}),
            json!({"jsonrpc": 2.0, "method": "ping"}),
            json!({"jsonrpc": "1.0", "method": "ping"}),
            json!({"jsonrpc": "2.0"}),
            json!({"jsonrpc": "2.0", "id": 1}),
            json!({"jsonrpc": "2.0", "method": 1}),
            json!({"jsonrpc": "2.0", "method": "ping", "id": null}),
            json!({"jsonrpc": "2.0", "method": "ping", "id": 1.5}),
            json!({"jsonrpc": "2.0", "method": "ping", "id": {}}),
            json!({"jsonrpc": "2.0", "method": "ping", "params": "x"}),
            json!({"jsonrpc": "2.0", "method": "ping", "params": null}),
            json!({"jsonrpc": "2.0", "method": "ping", "result": 1}),
            json!({"jsonrpc": "2.0", "method": "ping", "extra": 1}),
            json!({"jsonrpc": "2.0", "id": 1, "result": 1, "error": {"code": 1, "message": ""}}),
            json!({"jsonrpc": "2.0", "result": 1}),
            json!({"jsonrpc": "2.0", "id": null, "result": 1}),
            json!({"jsonrpc": "2.0", "id": 1, "params": {}, "result": 1}),
            json!({"jsonrpc": "2.0", "id": 1, "error": "no"}),
            json!({"jsonrpc": "2.0", "id": 1, "error": {"code": "1", "message": ""}}),
            json!({"jsonrpc": "2.0", "id": 1, "error": {"code": 1}}),
        ] {
            let parsed = Message::parse_from_json(Some(message.clone()));
            assert!(parsed.is_err(), "{message} was accepted");
        }
    }
}
