//! The OpenAPI documents equal the committed files, and are complete and consistent.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::support::{
    App,
    openapi::{Operation, assert_none, both, is_text, operations, resolve},
};

#[tokio::test]
async fn served_documents_equal_the_committed_ones() {
    let app = App::start().await;
    for (file, version) in [("openapi.json", "3.0"), ("openapi-3.2.json", "3.2")] {
        let path = format!("{}/openapi/{file}", env!("CARGO_MANIFEST_DIR"));
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        let url = app.url(&format!("/{file}"));
        let answer = reqwest::get(url).await.expect("a response");
        assert_eq!(answer.headers()["content-type"], "application/json");
        let served = answer.text().await.expect("a body");
        // No assert_eq, because it would print 200 kB. `git diff` shows the difference better.
        assert!(
            served == committed,
            "openapi/{file} is out of date; write it again and review the difference:\n  \
             cargo run -- openapi --version {version} > openapi/{file}"
        );
    }
    app.finish().await;
}

#[test]
fn documents_name_their_openapi_version() {
    let [(_, v3_0), (_, v3_2)] = both();
    assert_eq!((&v3_0["openapi"], &v3_2["openapi"]), (&"3.0.3".into(), &"3.2.0".into()));
    for document in [v3_0, v3_2] {
        assert_eq!(document["info"]["title"], "streamgate");
        assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
        assert!(is_text(&document["info"]["description"]));
    }
}

#[test]
fn every_operation_has_a_unique_id_summary_and_tag() {
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
                // Behind the authentication of the MCP endpoint, errors are JSON-RPC.
                let is_json_rpc = id.starts_with("mcp_")
                    && !id.starts_with("mcp_session")
                    && ["400", "404"].contains(&status.as_str());
                let expected = if is_json_rpc && file == "openapi-3.2.json" {
                    vec!["application/json", "application/problem+json"]
                } else {
                    vec!["application/problem+json"]
                };
                if status.as_str() >= "400" && types != expected {
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
fn every_reference_resolves() {
    fn check_references(document: &Value, value: &Value, found: &mut usize) {
        match value {
            Value::Object(object) => {
                if let Some(reference) = object.get("$ref").and_then(Value::as_str) {
                    resolve(document, reference);
                    *found += 1;
                }
                for value in object.values() {
                    check_references(document, value, found);
                }
            }
            Value::Array(array) => {
                for value in array {
                    check_references(document, value, found);
                }
            }
            _ => {}
        }
    }
    for (file, document) in both() {
        let mut found = 0;
        check_references(&document, &document, &mut found);
        assert!(found > 100, "{file}: {found}");
        // Every schema is used.
        let text = document.to_string();
        for name in document["components"]["schemas"].as_object().expect("schemas").keys() {
            let reference = format!("\"#/components/schemas/{name}\"");
            assert!(text.contains(&reference), "{file}: {name} is not used");
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
fn openapi_3_2_types_every_stream_event_by_name() {
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
        "stream.expiring",
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
            "stream.expiring" => "StreamExpiring",
            "error" => "Problem",
            _ => "Mutation",
        };
        assert_eq!(schema, format!("#/components/schemas/{expected}"));
        // Only these control events have no cursor.
        let has_id = item["required"].as_array().expect("required").contains(&"id".into());
        assert_eq!(
            has_id,
            !["stream.closed", "stream.expiring", "error"].contains(&name),
            "{name}"
        );
    }
    assert_eq!(stream(&v3_0), json!({ "schema": {} }), "3.0 leaves the type of events open");
}
