//! The OpenAPI documents and their operations.

use std::sync::LazyLock;

use reqwest::{Method, StatusCode};
use serde_json::Value;
use streamgate::api::{Version, documents};

/// The committed 3.2 document. A test checks that the server has the same.
static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../../openapi/openapi-3.2.json")).expect("JSON")
});

/// Checks that the document lists this status for the operation, if the path has one.
///
/// Not listed are the statuses of requests that are not valid HTTP, and of methods that the path does not have.
#[track_caller]
pub fn assert_documented(method: &Method, path: &str, status: StatusCode) {
    let matches = |template: &str| {
        let (template, path) = (template.split('/'), path.split('/'));
        template.clone().count() == path.clone().count()
            && template.zip(path).all(|(part, sent)| part.starts_with('{') || part == sent)
    };
    let method = if method == Method::HEAD { "get" } else { &method.as_str().to_lowercase() };
    let of_path = operations(&DOCUMENT).into_iter().filter(|operation| matches(operation.path));
    let operation = of_path
        .filter(|operation| operation.method == method)
        .min_by_key(|it| it.path.matches('{').count());
    let Some(operation) = operation else { return };
    let is_listed = !operation.value["responses"][status.as_str()].is_null();
    assert!(is_listed, "{status} is not documented for {}: {method} {path}", operation.id);
}

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
    let documents = documents(None);
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
