//! State and settings that all connections of a server share.

use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper_util::rt::TokioTimer;
use poem::Response;
use poem::endpoint::BoxEndpoint;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection_state::{ConnectionState, Timeouts};
use super::error_body::ErrorBody;
use super::http2_executor::Http2Executor;
use super::settings::Settings;
use super::write_budget::WriteBudget;
use crate::limit::Connections;
use crate::telemetry::Telemetry;

/// Concurrent HTTP/2 streams per connection. RFC 9113 section 6.5.2 advises at least 100. Each one is a task with a
/// send buffer, so this also limits the memory that one connection can use.
const MAX_CONCURRENT_STREAMS: u32 = 100;
/// Bytes of a response that wait in one HTTP/2 stream with a slow reader (hyper's default: 400 KiB).
const SEND_BUFFER: usize = 16 * 1024;
/// Bytes of a request body that are received before the endpoint reads them, per HTTP/2 stream and per connection. The
/// default of hyper is 1 MiB each.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 4 * STREAM_WINDOW;
/// Read buffer of an idle HTTP/1.1 connection: the smallest size that hyper accepts.
const MIN_READ_BUFFER: usize = 8 * 1024;

/// State and settings that all connections of a server share.
pub(super) struct Shared {
    pub(super) endpoint: BoxEndpoint<'static, Response>,
    pub(super) http1: http1::Builder,
    pub(super) head_limit: usize,
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) error_body: ErrorBody,
    pub(super) timeouts: Timeouts,
    pub(super) drain: Duration,
    pub(super) budget: Arc<WriteBudget>,
    pub(super) connections: Arc<Connections>,
    pub(super) telemetry: Arc<Telemetry>,
    pub(super) stop: CancellationToken,
    pub(super) tasks: TaskTracker,
}

impl Shared {
    pub(super) fn new(
        endpoint: BoxEndpoint<'static, Response>,
        settings: Settings,
        stop: CancellationToken,
        tasks: TaskTracker,
    ) -> Self {
        let Settings { header_timeout, idle_timeout, write_timeout, head_limit, .. } = settings;
        let Settings { unread_limit, connections, drain, tls, error_body, telemetry, .. } =
            settings;
        // With half_close, a client that has finished sending still gets its response. hyper's timeout is off, because
        // `connection_state.rs` applies its own.
        //
        // hyper itself rejects a head over the limit, and `error_body.rs` adds the body. On HTTP/2, nothing can add a
        // body to hyper's response. So hyper's limit is higher there, and the endpoint rejects heads between the two
        // limits.
        let mut http1 = http1::Builder::new();
        http1
            .half_close(true)
            .header_read_timeout(None)
            .max_header_size(head_limit)
            .max_buf_size(head_limit.max(MIN_READ_BUFFER));
        Self {
            endpoint,
            http1,
            head_limit,
            tls: tls.map(TlsAcceptor::from),
            error_body,
            timeouts: Timeouts { header: header_timeout, idle: idle_timeout, write: write_timeout },
            drain,
            budget: WriteBudget::new(unread_limit, Arc::clone(&telemetry)),
            connections: Connections::new(connections),
            telemetry,
            stop,
            tasks,
        }
    }

    /// Configures HTTP/2 for one connection.
    pub(super) fn http2(&self, state: &Arc<ConnectionState>) -> http2::Builder<Http2Executor> {
        let executor = Http2Executor {
            tasks: self.tasks.clone(),
            connection: Arc::clone(state),
            telemetry: Arc::clone(&self.telemetry),
            write_timeout: self.timeouts.write,
        };
        // h2's limits against reset floods (CVE-2023-44487) and CONTINUATION floods are on by default.
        let mut http2 = http2::Builder::new(executor);
        http2
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_CONCURRENT_STREAMS)
            .max_header_list_size(u32::try_from(4 * self.head_limit).unwrap_or(u32::MAX))
            .max_send_buf_size(SEND_BUFFER)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .keep_alive_interval(self.timeouts.header)
            .keep_alive_timeout(self.timeouts.header);
        http2
    }
}
