//! Requests to `/v1/users`.

use reqwest::Method;
use serde_json::Value;
use uuid::Uuid;

use crate::support::caller::{Answer, Caller};

pub async fn update(admin: &Caller, id: Uuid, change: Value) -> Answer {
    admin.call(Method::PATCH, &format!("/v1/users/{id}"), Some(change)).await
}

pub async fn delete(admin: &Caller, id: Uuid) -> Answer {
    admin.call(Method::DELETE, &format!("/v1/users/{id}"), None).await
}

pub fn patch(change: Value) -> (Method, &'static str, Option<Value>) {
    (Method::PATCH, "", Some(change))
}
