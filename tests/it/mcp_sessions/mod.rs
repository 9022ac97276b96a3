//! mcp_sessions

pub mod messages;
