//! The HTTP server: one task per connection, HTTP/1.1 and HTTP/2, with or without TLS.
//!
//! poem's own `Server` keeps a stream open after its client has disconnected. It loops without a pause when the process
//! has no descriptors left. It waits for a request head without a timeout. This server promises:
//!
//! - The server notices at once that a client has closed its connection, in every state of the connection. A client
//!   that has only finished sending still gets its response, unless it requested a stream.
//! - A client that keeps the server waiting longer than [`Settings::header_timeout`] is disconnected.
//! - A response with a known length is never copied. The server aborts it if its client does not read it.
//! - The number of open connections is limited, in total and per address. A connection no longer counts for its address
//!   after a user has authenticated on it.
//! - No error of accept(2) ends the accept loop or makes it loop without a pause.
//! - After `stop` is cancelled, responses in progress have [`Settings::drain`] to finish. Then all connections end.
//!
//! The files, in the order in which a request passes them:
//!
//! 1. `accept.rs`: accepts connections and applies the connection limits.
//! 2. `connection.rs`: detects the protocol and drives one connection to its end.
//! 3. `request_handler.rs`: calls the endpoint, and chooses whether a stream is written to the socket itself or is the
//!    body of the response.
//! 4. `response_body.rs`: sends a response. `write_budget.rs` counts its bytes, and `write_progress.rs` measures its
//!    progress.

mod accept;
mod connection;
mod connection_state;
mod error_body;
mod http2_executor;
mod request_body;
mod request_handler;
mod response_body;
mod response_head;
mod settings;
mod shared;
mod socket;
mod tls;
mod write_budget;
mod write_progress;

pub use self::accept::{raise_descriptor_limit, serve};
pub use self::error_body::ErrorBody;
pub use self::settings::Settings;
pub use self::tls::{Certificate, RenewalError, TlsError, tls};
