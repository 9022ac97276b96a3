//! Values for the examples in the OpenAPI document.

use serde_json::json;
use time::{OffsetDateTime, macros::datetime};
use uuid::{Uuid, uuid};

use super::json::AnyObject;
use crate::json;

/// An id: a UUID of version 7, like the ids of resources.
#[must_use]
pub fn example_id() -> Uuid {
    uuid!("0198c2f0-7d52-7a11-8c7e-3f5f1f1f9d10")
}

/// A time in UTC.
#[must_use]
pub fn example_time() -> OffsetDateTime {
    datetime!(2026-11-20 12:00:00.25 UTC)
}

/// An object with one member, a number.
#[must_use]
pub fn example_object(key: &str, value: i64) -> AnyObject {
    AnyObject(json::text(&json!({ key: value })).into())
}
