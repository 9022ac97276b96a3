//! Parts of an OpenAPI document, to change them in place.

use serde_json::{Map, Value};

/// Every operation, with its method.
pub(super) fn operations(document: &mut Value) -> impl Iterator<Item = (&str, &mut Value)> {
    members(&mut document["paths"])
        .filter_map(Value::as_object_mut)
        .flatten()
        .map(|(method, operation)| (method.as_str(), operation))
}

/// Whether an operation opens a stream. The MCP endpoint also answers with server-sent events, but in the format of that
/// protocol.
pub(super) fn is_stream(operation: &Value) -> bool {
    operation["operationId"].as_str().is_some_and(|id| id.ends_with("_stream"))
}

/// The values of an object.
pub(super) fn members(object: &mut Value) -> impl Iterator<Item = &mut Value> {
    object.as_object_mut().into_iter().flat_map(Map::values_mut)
}

/// Calls `change` with every value in the document, the document included. A value comes before its members.
pub(super) fn visit(value: &mut Value, change: &mut impl FnMut(&mut Value)) {
    change(value);
    match value {
        Value::Object(object) => object.values_mut().for_each(|value| visit(value, change)),
        Value::Array(array) => array.iter_mut().for_each(|value| visit(value, change)),
        _ => {}
    }
}
