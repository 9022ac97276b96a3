//! The OpenAPI documents and Swagger UI.

mod accept_encoding;
mod encoded_document;
mod operations;

pub(in crate::api) use operations::DocsApi;
