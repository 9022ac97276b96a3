//! `/v1/users`.

mod administrators;
mod create;
mod delete;
mod list;
mod update;
