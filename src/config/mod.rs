//! Every setting of the gateway, in one tree.
//!
//! A value comes from the first of these that has it: a command line flag, a `STREAMGATE_*`
//! environment variable, the TOML file, the default written here. The doc comments below are also
//! the manual: [`documentation`] and [`environment_table`] print them, so a key cannot exist
//! without a meaning, a unit and a default.
//!
//! Promise: a `Config` that exists is usable. An unknown key, a value that cannot be parsed and a value that is
//! not allowed stop the start. The [`ConfigError`] names the key and the source.

mod document;
mod error;
mod families;
mod limits;
mod load;
mod sections;
mod server;
mod tree;
mod validate;
mod values;

pub use document::{documentation, environment_table};
pub use error::{ConfigError, Origin};
pub use families::{McpSessions, Overflow, OverflowByFamily, Prompts, Retention};
pub use limits::Limits;
pub use sections::{Database, Log, LogFormat, Streams, Tasks, Tokens};
pub use server::Server;
pub use tree::{Config, ConfigLayer};
pub use values::Values;
