//! `/v1/users/{id}/notifications`.
//!
//! The folder is at the top, because notifications are a family like the others.

mod create;
mod get;
mod retention;
mod stream;
