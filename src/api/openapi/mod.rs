//! The OpenAPI documents.

mod complete;
mod differences;
mod documents;
mod examples;
mod json_schema;
mod operations;
mod typed_events;

pub use documents::{Documents, Version};
