//! The rows of streamgate's database, one table per file. Layer 0: this crate imports no other layer.
//!
//! Every point in time is a [`Timestamp`], an integer. SQLite compares text character by character. So it would sort
//! RFC 3339 times wrongly if only some have a fraction.

pub mod api_key;
pub mod artifact;
pub mod audit_event;
pub mod blocked_tunnel_client;
pub mod conversation;
pub mod event;
mod json_object;
mod json_text;
pub mod login_session;
pub mod mcp_session;
pub mod mutation;
pub mod notification;
pub mod oauth_authorization;
pub mod oauth_grant;
pub mod prompt;
pub mod refresh_token;
pub mod stream_token;
pub mod task;
mod timestamp;
pub mod topic;
pub mod topology;
pub mod topology_transition;
pub mod tunnel;
pub mod tunnel_share;
pub mod user;

pub use json_object::JsonObject;
pub use json_text::JsonText;
pub use timestamp::Timestamp;
