//! Requests to `/v1/connections`.

use reqwest::Method;
use serde_json::Value;

use crate::support::{
    caller::{Answer, Caller},
    sse::SseReader,
};

/// Lists the connections that the caller may see.
pub async fn list(caller: &Caller) -> Vec<Value> {
    let page = caller.get("/v1/connections?limit=200").await.ok();
    assert!(page["next"].is_null(), "more than a page");
    page["items"].as_array().expect("items").clone()
}

pub async fn delete(caller: &Caller, id: &str) -> Answer {
    caller.call(Method::DELETE, &format!("/v1/connections/{id}"), None).await
}

/// The id of a stream's connection.
pub fn id(reader: &SseReader) -> &str {
    reader.header("x-request-id").expect("an id")
}
