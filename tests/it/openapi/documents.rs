//! The OpenAPI documents: as committed, complete, and true to themselves.

use std::collections::BTreeSet;

use serde_json::{Map, Value};
use streamgate::api::{Version, documents};
use uuid::Uuid;

use crate::support::app::App;

/// An operation of the 3.0 document.
pub struct Operation<'a> {
    pub id: &'a str,
    pub method: &'a str,
    pub path: &'a str,
    pub value: &'a Value,
}

/// All operations of a document.
pub fn operations(document: &Value) -> Vec<Operation<'_>> {
    let paths = document["paths"].as_object().expect("paths");
    let operations = paths.iter().flat_map(|(path, item)| {
        item.as_object().into_iter().flatten().map(move |(method, value)| {
            let id = value["operationId"].as_str();
            let id = id.unwrap_or_else(|| panic!("{method} {path}: no operationId"));
            Operation { id, method, path, value }
        })
    });
    operations.collect()
}

/// What a reference points to.
pub fn resolve<'a>(document: &'a Value, reference: &str) -> &'a Value {
    let pointer = reference.strip_prefix('#').expect("a reference within the document");
    document.pointer(pointer).unwrap_or_else(|| panic!("{reference} points to nothing"))
}

/// Both documents, with the name of the committed file.
fn both() -> [(&'static str, Value); 2] {
    let documents = documents();
    [("openapi.json", Version::V3_0), ("openapi-3.2.json", Version::V3_2)].map(|(file, version)| {
        (file, serde_json::from_slice(&documents.text(version)).expect("JSON"))
    })
}

/// All faults at once: mending one by one would take as many builds.
#[track_caller]
fn assert_none(faults: &[String]) {
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

fn is_text(value: &Value) -> bool {
    value.as_str().is_some_and(|text| !text.trim().is_empty())
}

#[tokio::test]
async fn the_documents_are_served_as_they_are_committed() {
    let app = App::start().await;
    for (file, version) in [("openapi.json", "3.0"), ("openapi-3.2.json", "3.2")] {
        let path = format!("{}/openapi/{file}", env!("CARGO_MANIFEST_DIR"));
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        let url = app.url(&format!("/{file}"));
        let answer = reqwest::get(url).await.expect("an answer");
        assert_eq!(answer.headers()["content-type"], "application/json");
        let served = answer.text().await.expect("a body");
        // Not assert_eq: nobody reads 200 kB of difference here. `git diff` shows it better.
        assert!(
            served == committed,
            "openapi/{file} is out of date; write it again and look at the difference:\n  \
             cargo run -- openapi --version {version} > openapi/{file}"
        );
    }
    app.finish().await;
}

#[test]
fn the_documents_say_which_version_they_are() {
    let [(_, v3_0), (_, v3_2)] = both();
    assert_eq!((&v3_0["openapi"], &v3_2["openapi"]), (&"3.0.3".into(), &"3.2.0".into()));
    for document in [v3_0, v3_2] {
        assert_eq!(document["info"]["title"], "streamgate");
        assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
        assert!(is_text(&document["info"]["description"]));
    }
}

#[test]
fn every_operation_has_an_id_of_its_own_a_summary_and_a_tag() {
    let [(_, document), (_, v3_2)] = both();
    let mut seen = BTreeSet::new();
    let mut faults = Vec::new();
    for Operation { id, value, .. } in operations(&document) {
        let words: Vec<_> = id.split('_').collect();
        let fits = |word: &&str| {
            !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        };
        if words.len() < 2 || !words.iter().all(fits) {
            faults.push(format!("{id}: not <noun>_<verb>"));
        }
        if !seen.insert(id.to_owned()) {
            faults.push(format!("{id}: twice"));
        }
        if !is_text(&value["summary"]) || value["tags"].as_array().map(Vec::len) != Some(1) {
            faults.push(format!("{id}: no summary, or not one tag"));
        }
    }
    assert_none(&faults);
    let ids: BTreeSet<_> = operations(&v3_2).iter().map(|found| found.id.to_owned()).collect();
    assert_eq!(ids, seen, "both documents have the same operations");
}

#[test]
fn every_parameter_and_field_has_a_description_and_an_example() {
    let mut faults = Vec::new();
    for (file, document) in both() {
        for Operation { id, value, .. } in operations(&document) {
            for parameter in value["parameters"].as_array().into_iter().flatten() {
                let name = &parameter["name"];
                if !is_text(&parameter["description"]) || parameter["example"].is_null() {
                    faults.push(format!("{file}: {id}: parameter {name}: {parameter}"));
                } else if let Err(why) =
                    fits(&document, &parameter["schema"], &parameter["example"])
                {
                    faults.push(format!("{file}: {id}: parameter {name}: the example: {why}"));
                }
            }
        }
        let schemas = document["components"]["schemas"].as_object().expect("schemas");
        for (name, schema) in schemas {
            for (field, schema) in schema["properties"].as_object().into_iter().flatten() {
                // A reference has both where it points to, and takes no siblings in 3.0.
                let whole = schema.get("$ref").is_some();
                let holds = schema.to_string().contains("$ref");
                if !whole && !is_text(&schema["description"]) {
                    faults.push(format!("{file}: {name}.{field}: no description"));
                }
                let example = schema.get("example").unwrap_or(&Value::Null);
                if !holds && example.is_null() {
                    faults.push(format!("{file}: {name}.{field}: no example"));
                }
            }
        }
    }
    assert_none(&faults);
}

#[test]
fn every_example_is_valid_under_its_own_schema() {
    let mut faults = Vec::new();
    for (file, document) in both() {
        let schemas = document["components"]["schemas"].as_object().expect("schemas");
        for (name, schema) in schemas {
            let own = [(name.clone(), schema)];
            let fields = schema["properties"].as_object().into_iter().flatten();
            let fields = fields.map(|(field, schema)| (format!("{name}.{field}"), schema));
            for (place, schema) in own.into_iter().chain(fields) {
                let example = schema.get("example");
                if let Some(Err(why)) = example.map(|example| fits(&document, schema, example)) {
                    faults.push(format!("{file}: {place}: {why}"));
                }
            }
        }
    }
    assert_none(&faults);
}

/// Whether a value is valid, as far as these documents go into it.
fn fits(document: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let of_type = |name: &&str| match *name {
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => value.is_null(),
    };
    let nullable = schema["nullable"] == true && value.is_null();
    if !types.is_empty() && !nullable && !types.iter().any(of_type) {
        return Err(format!("{value} is not of the type {types:?}"));
    }
    let text = value.as_str().unwrap_or_default();
    if schema["format"] == "uuid" && value.is_string() && text.parse::<Uuid>().is_err() {
        return Err(format!("{value} is not a UUID"));
    }
    if schema["enum"].as_array().is_some_and(|values| !values.contains(value)) {
        return Err(format!("{value} is not one of {}", schema["enum"]));
    }
    if let Some(reference) = schema["$ref"].as_str() {
        fits(document, resolve(document, reference), value)?;
    }
    for part in schema["allOf"].as_array().into_iter().flatten() {
        fits(document, part, value)?;
    }
    for item in value.as_array().into_iter().flatten() {
        fits(document, &schema["items"], item)?;
    }
    let (none, nothing) = (Vec::new(), Map::new());
    let members = value.as_object().unwrap_or(&nothing);
    for name in schema["required"].as_array().unwrap_or(&none).iter().filter_map(Value::as_str) {
        if value.is_object() && !members.contains_key(name) {
            return Err(format!("{name} is required"));
        }
    }
    for (name, schema) in schema["properties"].as_object().unwrap_or(&nothing) {
        if let Some(member) = members.get(name) {
            fits(document, schema, member).map_err(|why| format!("{name}: {why}"))?;
        }
    }
    Ok(())
}

#[test]
fn every_operation_documents_its_refusals_as_problem_documents() {
    let mut faults = Vec::new();
    for (file, document) in both() {
        for Operation { id, value, .. } in operations(&document) {
            let responses = value["responses"].as_object().expect("responses");
            for status in ["401", "403", "404", "429", "431"] {
                if !responses.contains_key(status) {
                    faults.push(format!("{file}: {id}: no {status}"));
                }
            }
            for (status, response) in responses {
                if status.as_str() >= "400" && !is_text(&response["description"]) {
                    faults.push(format!("{file}: {id}: {status}: no description"));
                }
                let content = response["content"].as_object();
                let types: Vec<_> = content.into_iter().flat_map(Map::keys).collect();
                if status.as_str() >= "400" && types != ["application/problem+json"] {
                    faults.push(format!("{file}: {id}: {status}: {types:?}"));
                }
            }
            for (status, header) in [("401", "WWW-Authenticate"), ("429", "Retry-After")] {
                if responses[status]["headers"].get(header).is_none() {
                    faults.push(format!("{file}: {id}: {status}: no {header}"));
                }
            }
        }
    }
    assert_none(&faults);
}

#[test]
fn every_reference_points_to_something() {
    fn walk(document: &Value, value: &Value, found: &mut usize) {
        match value {
            Value::Object(object) => {
                if let Some(reference) = object.get("$ref").and_then(Value::as_str) {
                    resolve(document, reference);
                    *found += 1;
                }
                object.values().for_each(|value| walk(document, value, found));
            }
            Value::Array(array) => array.iter().for_each(|value| walk(document, value, found)),
            _ => {}
        }
    }
    for (file, document) in both() {
        let mut found = 0;
        walk(&document, &document, &mut found);
        assert!(found > 100, "{file}: {found}");
        // And nothing lies around that nobody refers to.
        let text = document.to_string();
        for name in document["components"]["schemas"].as_object().expect("schemas").keys() {
            let reference = format!("\"#/components/schemas/{name}\"");
            assert!(text.contains(&reference), "{file}: {name} is referred to by nothing");
        }
        for Operation { id, value, .. } in operations(&document) {
            for scheme in value["security"].as_array().into_iter().flatten() {
                for name in scheme.as_object().expect("a scheme").keys() {
                    let known = &document["components"]["securitySchemes"][name];
                    assert!(known.is_object(), "{file}: {id}: {name}");
                }
            }
        }
    }
}

#[test]
fn the_3_2_document_types_every_event_of_the_stream_by_its_name() {
    let [(_, v3_0), (_, v3_2)] = both();
    let stream = |document: &Value| {
        let found = operations(document);
        let stream = found.iter().find(|operation| operation.id == "topology_stream");
        stream.expect("the stream").value["responses"]["200"]["content"]["text/event-stream"]
            .clone()
    };
    let items = stream(&v3_2)["itemSchema"]["oneOf"].as_array().expect("events").clone();
    let names: Vec<_> =
        items.iter().map(|item| item["properties"]["event"]["const"].clone()).collect();
    let expected = [
        "snapshot",
        "status",
        "mutation.enqueued",
        "mutation.applying",
        "mutation.applied",
        "mutation.failed",
        "stream.dropped",
        "stream.closed",
        "error",
    ];
    assert_eq!(names, expected);
    for (item, name) in items.iter().zip(expected) {
        let data = &item["properties"]["data"];
        assert_eq!(data["contentMediaType"], "application/json", "{name}");
        let schema = data["contentSchema"]["$ref"].as_str().expect("a type of its own");
        let expected = match name {
            "snapshot" => "TopologySnapshot",
            "status" => "Transition",
            "stream.dropped" => "StreamDropped",
            "stream.closed" => "StreamClosed",
            "error" => "Problem",
            _ => "Mutation",
        };
        assert_eq!(schema, format!("#/components/schemas/{expected}"));
        // A cursor to resume from comes with what is in the log and in the snapshot, not with the rest.
        let has_id = item["required"].as_array().expect("required").contains(&"id".into());
        assert_eq!(has_id, !["stream.closed", "error"].contains(&name), "{name}");
    }
    let record = stream(&v3_0)["schema"]["$ref"].clone();
    assert_eq!(record, "#/components/schemas/StreamEvent", "3.0 has a record of strings");
}
