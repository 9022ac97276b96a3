//! The OpenAPI documents.

mod differences;
mod documents;
mod examples;
mod prefill;
