//! The configuration of the gateway: a tree of all keys.
//!
//! A command line flag overrides a `STREAMGATE_*` environment variable. The variable overrides the TOML file, and the
//! file overrides the default. The doc comments of the keys are also the manual: [`documentation`] and
//! [`environment_table`] print them. So every key has a description there, with its unit and its default.
//!
//! Promise: every `Config` is valid. An unknown key, a value that cannot be parsed and a value that is not allowed
//! stop the start. The [`ConfigError`] names the key and the source.

mod auth;
mod document;
mod error;
mod families;
mod limits;
mod load;
mod oauth;
mod public_url;
mod sections;
mod server;
mod tree;
mod tunnels;
mod validate;
mod values;

pub use auth::{Auth, Issuer, IssuerRole};
pub use document::{documentation, environment_table};
pub use error::{ConfigError, Origin};
pub use families::{McpSessions, Overflow, OverflowByFamily, Prompts, Retention};
pub use limits::Limits;
pub use oauth::{Oauth, Provider};
pub use public_url::PublicUrl;
pub use sections::{Database, Log, LogFormat, Streams, Tasks, Tokens};
pub use server::Server;
pub use tree::{Config, ConfigLayer};
pub use tunnels::Tunnels;
pub use values::Values;
