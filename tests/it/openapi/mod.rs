//! openapi

pub mod documents;
