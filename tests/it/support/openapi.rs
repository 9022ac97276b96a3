//! The OpenAPI documents and their operations.

use serde_json::Value;
use streamgate::api::{Version, documents};

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

/// Returns the target of a reference (`#/components/...`).
pub fn resolve<'a>(document: &'a Value, reference: &str) -> &'a Value {
    let pointer = reference.strip_prefix('#').expect("a reference within the document");
    document.pointer(pointer).unwrap_or_else(|| panic!("{reference} points to nothing"))
}

/// Both documents, with the name of the committed file.
pub fn both() -> [(&'static str, Value); 2] {
    let documents = documents();
    [("openapi.json", Version::V3_0), ("openapi-3.2.json", Version::V3_2)].map(|(file, version)| {
        (file, serde_json::from_slice(&documents.text(version)).expect("JSON"))
    })
}

/// Fails with all faults at once, because each fix needs a build.
#[track_caller]
pub fn assert_none(faults: &[String]) {
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

pub fn is_text(value: &Value) -> bool {
    value.as_str().is_some_and(|text| !text.trim().is_empty())
}
