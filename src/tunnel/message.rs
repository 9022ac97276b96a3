//! JSON-RPC messages (JSON-RPC 2.0) as maps of their members. Numbers and strings keep the text that they came with.

use serde_json::{Map, Value, json};

use crate::json;

/// The members of a message.
pub type Members = Map<String, Value>;

/// JSON-RPC: the method does not exist.
pub const METHOD_NOT_FOUND: i64 = -32601;
/// JSON-RPC: an internal error.
pub const INTERNAL_ERROR: i64 = -32603;

/// A request.
#[must_use]
pub fn request(id: Value, method: &str, params: Option<Value>) -> Members {
    let mut message = Members::new();
    message.insert("jsonrpc".to_owned(), "2.0".into());
    message.insert("id".to_owned(), id);
    message.insert("method".to_owned(), method.into());
    message.extend(params.map(|params| ("params".to_owned(), params)));
    message
}

/// A notification.
#[must_use]
pub fn notification(method: &str, params: Option<Value>) -> Members {
    let mut message = request(Value::Null, method, params);
    message.remove("id");
    message
}

/// The notification that cancels a request. `key` is the JSON text of its id.
#[must_use]
pub fn cancelled(key: &str, reason: &str) -> Members {
    let id: Value = serde_json::from_str(key).unwrap_or_default();
    let params = json!({ "requestId": id, "reason": reason });
    notification("notifications/cancelled", Some(params))
}

/// The response of a request that succeeded.
#[must_use]
pub fn success(id: Value, result: Value) -> Members {
    let mut message = Members::new();
    message.insert("jsonrpc".to_owned(), "2.0".into());
    message.insert("id".to_owned(), id);
    message.insert("result".to_owned(), result);
    message
}

/// The response of a request that failed.
#[must_use]
pub fn failure(id: Value, code: i64, text: &str) -> Members {
    let mut message = Members::new();
    message.insert("jsonrpc".to_owned(), "2.0".into());
    message.insert("id".to_owned(), id);
    message.insert("error".to_owned(), json!({ "code": code, "message": text }));
    message
}

/// The members of a message in text that [`text`] has written.
#[must_use]
pub fn parse(text: &str) -> Members {
    into_members(json::parse(text.as_bytes()).unwrap_or_default())
}

/// The members of an object. Empty for other values.
#[must_use]
pub fn into_members(value: Value) -> Members {
    match value {
        Value::Object(members) => members,
        _ => Members::new(),
    }
}

/// The method. `None` for a response.
#[must_use]
pub fn method(message: &Members) -> Option<&str> {
    message.get("method")?.as_str()
}

/// The reason why a message of a client is no JSON-RPC message of the protocol: a request has an id, and a notification has
/// none. `None` if it is one.
#[must_use]
pub fn fault(message: &Members) -> Option<&'static str> {
    let is_notification = method(message)?.starts_with("notifications/");
    match (is_notification, message.contains_key("id")) {
        (true, true) => Some("a notification must not have an id"),
        (false, false) => Some("a request must have an id"),
        _ => None,
    }
}

/// The id as JSON text, which is the same for equal ids. `None` if there is no id.
#[must_use]
pub fn id_key(message: &Members) -> Option<String> {
    message.get("id").filter(|id| !id.is_null()).map(json::text)
}

/// The member at this path, if the values above it are objects.
#[must_use]
pub fn member<'a>(message: &'a Members, path: &[&str]) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    rest.iter().try_fold(message.get(*first)?, |value, name| value.get(*name))
}

/// The member at this path, to change it.
#[must_use]
pub fn member_mut<'a>(message: &'a mut Members, path: &[&str]) -> Option<&'a mut Value> {
    let (first, rest) = path.split_first()?;
    rest.iter().try_fold(message.get_mut(*first)?, |value, name| value.get_mut(*name))
}

/// The text of a message.
#[must_use]
pub fn text(message: &Members) -> String {
    let members = message.iter().map(|(key, value)| (key, json::Relayed(value)));
    let mut text = Vec::new();
    let mut serializer = serde_json::Serializer::new(&mut text);
    let written = serde::Serializer::collect_map(&mut serializer, members);
    debug_assert!(written.is_ok(), "a message is JSON");
    String::from_utf8(text).unwrap_or_default()
}
