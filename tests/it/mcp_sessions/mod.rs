//! `/v1/mcp-sessions`.

mod get;
mod idle;
mod messages;
