//! Prompts and their sessions over HTTP.

mod agent;
mod optional_body;
mod owner;
mod publication;
mod sessions;

pub(super) use agent::AgentsApi;
pub(super) use owner::PromptsApi;
pub(super) use sessions::SessionsApi;
