//! The settings of the server.

use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;

use super::error_body::ErrorBody;
use crate::limit::ConnectionLimits;
use crate::telemetry::Telemetry;

/// Limits on the time and memory that one client can use, and values that all connections share.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Longest time to wait for a client that has to send something:
    ///
    /// - the first complete request head, from the time of connecting, TLS included;
    /// - each later HTTP/1.1 head, from its first byte;
    /// - the acknowledgement of an HTTP/2 PING, which is sent when nothing was received for this long.
    pub header_timeout: Duration,
    /// Longest time that a connection stays open between requests.
    pub idle_timeout: Duration,
    /// Longest time that a response with a known length can make no progress before it is aborted.
    pub write_timeout: Duration,
    /// Bytes of responses that can wait to be read, over all connections.
    pub unread_limit: usize,
    /// Limits on open connections.
    pub connections: ConnectionLimits,
    /// Largest request head in bytes. HTTP/2 adds 32 per field (RFC 9113 section 6.5.2).
    pub head_limit: usize,
    /// Longest time that responses can continue after `stop`.
    pub drain: Duration,
    /// Configuration of TLS for every connection, see [`super::tls()`]. `None` means no TLS.
    pub tls: Option<Arc<ServerConfig>>,
    /// Returns the request id and the problem document for a request that hyper itself rejects.
    pub error_body: ErrorBody,
    /// Counts refused connections and aborted responses.
    pub telemetry: Arc<Telemetry>,
}
