//! The OpenAPI documents.

mod complete;
mod documents;
mod examples;
mod json_schema;
mod typed_events;
mod walk;

pub use documents::{Documents, Version};
