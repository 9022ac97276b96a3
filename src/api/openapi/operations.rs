//! Parts of an OpenAPI document, to change them in place.

use serde_json::{Map, Value};

/// Every operation, with its method.
pub(super) fn operations(document: &mut Value) -> impl Iterator<Item = (&str, &mut Value)> {
    members(&mut document["paths"])
        .filter_map(Value::as_object_mut)
        .flatten()
        .map(|(method, operation)| (method.as_str(), operation))
}

/// The values of an object.
pub(super) fn members(object: &mut Value) -> impl Iterator<Item = &mut Value> {
    object.as_object_mut().into_iter().flat_map(Map::values_mut)
}
