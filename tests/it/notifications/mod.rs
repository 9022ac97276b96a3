//! `/v1/users/{id}/notifications`.
//!
//! A folder at the top, because notifications are a family like the others.

mod create;
mod get;
mod retention;
mod stream;
