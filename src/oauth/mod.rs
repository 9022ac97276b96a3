//! Grants of users at upstream OAuth providers: the authorization, the encrypted tokens and their refresh.
//!
//! Promises:
//! - The database has tokens and PKCE verifiers only encrypted. The keys are in the data directory, see `keyring.rs`.
//! - A state and a code are used once, by the browser whose user has confirmed the identity, see `flow.rs`.
//! - At most one gateway refreshes a grant at a time, and new tokens are stored before they are used, see `refresh.rs`.
//! - No token and no secret is in a log line, in an error or in `Debug` output.

mod engine;
mod error;
mod flow;
mod grants;
mod keyring;
mod provider;
mod refresh;
mod response;

pub use engine::{CALLBACK, Oauth, OauthStartError};
pub use error::OauthError;
pub use flow::{Authorization, Callback};
pub use grants::{is_usable, scopes};
pub use keyring::{Keyring, KeyringError};
pub use refresh::Refreshed;
