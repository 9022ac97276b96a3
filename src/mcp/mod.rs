//! The Model Context Protocol through tunnels, without HTTP: clients of both eras, servers of both eras.
//!
//! `legacy.rs` and `modern.rs` take the messages of clients. An [`Exchange`] is a request that goes on. It speaks the
//! era of the client, and `translate.rs` has the differences.

pub mod access;
mod error;
mod exchange;
mod header_value;
pub mod legacy;
mod listen;
pub mod modern;
mod outcome;
mod param_headers;
mod running;
pub mod sessions;
mod translate;

pub use error::{RpcError, VERSIONS, error_code};
pub use exchange::{Exchange, Item};
pub use header_value::encoded;
pub use listen::keep_subscribed;
pub use outcome::Outcome;
pub use param_headers::{argument_text, param_headers};
pub use running::Running;
