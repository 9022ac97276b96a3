//! The Model Context Protocol through tunnels, without HTTP: clients of both eras, servers of both eras.
//!
//! `legacy.rs` and `modern.rs` take the messages of clients. A request that goes on is an exchange. It speaks
//! the era of the client, and `translate.rs` has the differences.

mod connection;
mod error;
mod exchange;
mod header_value;
mod http_sse;
pub mod legacy;
mod listen;
pub mod modern;
mod outcome;
mod param_headers;
mod requester;
mod running;
pub mod sessions;
mod translate;

pub use connection::{MAX_WAIT, connection};
pub use error::{RpcError, VERSIONS, error_code};
pub use exchange::Item;
pub use header_value::encoded;
pub use http_sse::SseConnection;
pub use listen::keep_subscribed;
pub use outcome::Outcome;
pub use param_headers::{argument_text, param_headers};
pub use requester::Requester;
pub use running::Running;
