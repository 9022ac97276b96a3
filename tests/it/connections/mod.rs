//! `/v1/connections`.

mod delete;
mod list;
