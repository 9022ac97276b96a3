//! The differences between the two documents, and the forms that every generator can read.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::support::openapi::{Operation, assert_none, both, operations};

/// The places where the documents may differ, besides the dialect of the schemas. `*` stands for one name.
const DIFFERENCES: [&str; 16] = [
    "openapi",
    "info/license/identifier",
    "components/securitySchemes/stream_token",
    "components/schemas/NewPromptEvents/*",
    // Of streams only:
    "paths/*/get/description",
    "paths/*/get/parameters",
    "paths/*/get/security",
    "paths/*/get/responses/204",
    "paths/*/get/responses/200/content/text~1event-stream/schema",
    "paths/*/get/responses/200/content/text~1event-stream/itemSchema",
    "paths/*/post/requestBody/content/application~1x-ndjson",
    // Of tunnels only:
    "paths/*/*/responses/101",
    "paths/*/post/responses/202",
    "paths/*/post/responses/200/content/text~1event-stream",
    "paths/*/*/responses/400/content/application~1json",
    "paths/*/*/responses/404/content/application~1json",
];

#[test]
fn documents_differ_only_where_generators_need_it() {
    let [(_, v3_0), (_, v3_2)] = both();
    let mut places = BTreeSet::new();
    compare(&without_dialect(v3_0.clone()), &without_dialect(v3_2), "", &mut places);
    let mut seen = BTreeSet::new();
    let mut faults = Vec::new();
    for place in &places {
        let known = DIFFERENCES.iter().find(|known| matches(known, place));
        match known {
            Some(known) => drop(seen.insert(*known)),
            None if is_data_of_an_event(place, &v3_0) => {}
            None => faults.push(place.clone()),
        }
        let of_a_stream = known.is_some_and(|known| known.contains("/get/"));
        let path = place.split('/').nth(1).unwrap_or_default();
        if of_a_stream && !["~1stream", "~1sse~1"].iter().any(|name| path.contains(name)) {
            faults.push(format!("{place} is not a stream"));
        }
    }
    assert_none(&faults);
    assert_eq!(seen, DIFFERENCES.into(), "every known difference exists");
}

/// Whether the schema exists in the 3.2 document only. These are the types of the events.
fn is_data_of_an_event(place: &str, v3_0: &Value) -> bool {
    let name = place.strip_prefix("components/schemas/").unwrap_or("/");
    !name.contains('/') && v3_0["components"]["schemas"].get(name).is_none()
}

fn matches(pattern: &str, place: &str) -> bool {
    let (pattern, place): (Vec<_>, Vec<_>) =
        (pattern.split('/').collect(), place.split('/').collect());
    pattern.len() == place.len()
        && pattern.iter().zip(place).all(|(pattern, name)| *pattern == "*" || *pattern == name)
}

/// Adds the places of all members that differ.
fn compare(old: &Value, new: &Value, place: &str, places: &mut BTreeSet<String>) {
    let (Some(left), Some(right)) = (old.as_object(), new.as_object()) else {
        if old != new {
            places.insert(place.to_owned());
        }
        return;
    };
    for name in left.keys().chain(right.keys()) {
        let inner = format!("{place}/{}", name.replace('~', "~0").replace('/', "~1"));
        let inner = inner.trim_start_matches('/');
        match (left.get(name), right.get(name)) {
            (Some(left), Some(right)) => compare(left, right, inner, places),
            _ => drop(places.insert(inner.to_owned())),
        }
    }
}

/// Removes what the dialects of the schemas say in different words.
fn without_dialect(mut value: Value) -> Value {
    match &mut value {
        Value::Object(schema) => {
            for word in ["nullable", "exclusiveMinimum", "exclusiveMaximum", "minimum", "maximum"] {
                schema.remove(word);
            }
            if let Some(first) = schema.get("type").and_then(|kind| kind.get(0)).cloned() {
                schema.insert("type".to_owned(), first);
            }
            for word in ["allOf", "anyOf"] {
                let target = schema.get(word).and_then(|parts| parts[0].get("$ref")).cloned();
                if let Some(target) = target {
                    schema.remove(word);
                    schema.insert("$ref".to_owned(), target);
                }
            }
            for member in schema.values_mut() {
                *member = without_dialect(member.take());
            }
        }
        Value::Array(items) => {
            for item in items {
                *item = without_dialect(item.take());
            }
        }
        _ => {}
    }
    value
}

#[test]
fn no_schema_has_a_form_that_generators_refuse() {
    let mut faults = Vec::new();
    for (file, document) in both() {
        visit(&document, "", &mut |place, value| {
            let Some(schema) = value.as_object() else { return };
            let parts = |word: &str| schema.get(word).and_then(Value::as_array);
            if schema.contains_key("nullable") && !schema.contains_key("type") {
                faults.push(format!("{file}: {place}: `nullable` without `type`"));
            }
            for word in ["allOf", "anyOf", "oneOf"] {
                let parts = parts(word).into_iter().flatten();
                let is_empty = |part: &&Value| part.as_object().is_some_and(Map::is_empty);
                if parts.clone().any(|part| is_empty(&part)) {
                    faults.push(format!("{file}: {place}: an empty schema in `{word}`"));
                }
                if word == "allOf" && parts.count() > 1 {
                    faults.push(format!("{file}: {place}: several members of `allOf`"));
                }
            }
            for word in ["anyOf", "oneOf"] {
                if parts(word).is_some_and(|parts| parts.len() == 1) {
                    faults.push(format!("{file}: {place}: one member of `{word}`"));
                }
            }
        });
    }
    assert_none(&faults);
}

#[test]
fn openapi_3_0_has_one_form_of_everything() {
    let [(_, document), _] = both();
    let mut faults = Vec::new();
    for Operation { id, value, .. } in operations(&document) {
        let count =
            |pointer: &str| value.pointer(pointer).and_then(Value::as_object).map_or(0, Map::len);
        if count("/requestBody/content") > 1 {
            faults.push(format!("{id}: several media types of the body"));
        }
        if value["security"].as_array().is_none_or(|schemes| schemes.len() > 1) {
            faults.push(format!("{id}: no or several credentials: {}", value["security"]));
        }
        let plain =
            |name: &Value| name.as_str().unwrap_or_default().to_lowercase().replace('-', "_");
        let names: Vec<_> = value["parameters"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|parameter| plain(&parameter["name"]))
            .collect();
        if names.iter().collect::<BTreeSet<_>>().len() != names.len() {
            faults.push(format!("{id}: two parameters have the same name in code: {names:?}"));
        }
        let is_stream = id.ends_with("_stream");
        if is_stream && value["responses"].get("204").is_some() {
            faults.push(format!("{id}: two kinds of success"));
        }
        let description = value["description"].as_str().unwrap_or_default();
        if is_stream && !description.contains("`stream_token`") {
            faults.push(format!("{id}: the stream token is not explained"));
        }
    }
    assert_none(&faults);
}

/// Calls `check` with every value in the document and its place.
fn visit(value: &Value, place: &str, check: &mut impl FnMut(&str, &Value)) {
    check(place, value);
    for (name, member) in value.as_object().into_iter().flatten() {
        // An example can have members with any name.
        if name != "example" {
            visit(member, &format!("{place}/{name}"), check);
        }
    }
    for (at, item) in value.as_array().into_iter().flatten().enumerate() {
        visit(item, &format!("{place}/{at}"), check);
    }
}
