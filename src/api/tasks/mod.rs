//! Tasks over HTTP.

mod owner;
mod worker;

pub(super) use owner::TasksApi;
pub(super) use worker::WorkersApi;
