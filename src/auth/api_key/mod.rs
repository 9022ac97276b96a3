//! API keys: credentials of programs, which cannot log in every quarter of an hour.
//!
//! A key acts as its owner, with a role that is never above the owner's. Each key has a login session with the same id.
//! So stream tokens, limits and revocation work as for a login, and a key that is deleted ends its streams. Only the
//! hash of a key is stored.

mod keys;
mod last_use;
mod secret;

pub use keys::{ApiKeyError, ApiKeys, KeyAndSession, NewApiKey};
pub use secret::PREFIX;
