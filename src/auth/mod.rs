//! Authentication: users and their passwords, login sessions, and tokens.

pub mod api_key;
pub mod issuer;
pub mod login_session;
pub mod password;
pub mod session_cookie;
pub mod signing;
pub mod stream_claims;
pub mod stream_token;
pub mod token;
pub mod user;
