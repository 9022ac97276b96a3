//! The state of one connection, and the timeout that applies to it.
//!
//! The socket reports bytes received and sent. The request handler reports the start of each request and the end of its
//! response. These reports determine the timeout that applies at a given moment:
//!
//! - for the first request, from the time of connecting, TLS included: [`Timeouts::header`];
//! - for the head of a later HTTP/1.1 request, from its first byte: [`Timeouts::header`];
//! - between requests: [`Timeouts::idle`];
//! - while the socket accepts no bytes of a response with a known length: [`Timeouts::write`].
//!
//! A stream has no timeout here, because the hub checks its streams.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::write_progress::WriteProgress;

/// The configured timeouts, see [`super::Settings`].
#[derive(Clone, Copy)]
pub(super) struct Timeouts {
    pub(super) header: Duration,
    pub(super) idle: Duration,
    pub(super) write: Duration,
}

/// The timeout that has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timeout {
    /// No complete request head was received in time.
    Header,
    /// No request was received in time.
    Idle,
    /// The client does not read its response.
    Write,
}

/// The state of one connection, see the module's documentation.
pub(super) struct ConnectionState {
    timeouts: Timeouts,
    /// Whether the connection uses HTTP/2. On HTTP/2, bytes received between requests do not start a request head: they
    /// can be any frame.
    is_http2: AtomicBool,
    /// Progress of the response on HTTP/1.1, which sends one response at a time.
    pub(super) progress: Arc<WriteProgress>,
    state: Mutex<State>,
}

struct State {
    /// Number of requests whose responses are not completely sent.
    open_requests: u32,
    /// Number of responses that are streams.
    streams: u32,
    /// Deadline while no request is open.
    deadline: Instant,
    /// Whether the deadline is that of a request head, and not the idle timeout.
    awaits_head: bool,
    /// Time since which the socket accepts no bytes. `None` while it accepts them.
    blocked_since: Option<Instant>,
}

impl ConnectionState {
    /// Creates the state of a connection that was just accepted.
    pub(super) fn new(timeouts: Timeouts) -> Arc<Self> {
        let state = State {
            open_requests: 0,
            streams: 0,
            deadline: Instant::now() + timeouts.header,
            awaits_head: true,
            blocked_since: None,
        };
        Arc::new(Self {
            timeouts,
            is_http2: AtomicBool::new(false),
            progress: Arc::default(),
            state: Mutex::new(state),
        })
    }

    /// Marks the connection as HTTP/2.
    pub(super) fn set_http2(&self) {
        self.is_http2.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_http2(&self) -> bool {
        self.is_http2.load(Ordering::Relaxed)
    }

    /// Deadline of the first request head.
    pub(super) fn first_deadline(&self) -> Instant {
        self.state.lock().deadline
    }

    /// Records the start of a request. Its response is completely sent when the guard is dropped.
    pub(super) fn begin_request(self: &Arc<Self>) -> RequestGuard {
        let mut state = self.state.lock();
        state.open_requests += 1;
        state.awaits_head = false;
        RequestGuard(Arc::clone(self))
    }

    /// Records that a response is a stream, until the guard is dropped.
    pub(super) fn begin_stream(self: &Arc<Self>) -> StreamGuard {
        self.state.lock().streams += 1;
        StreamGuard(Arc::clone(self))
    }

    /// Whether a response on this connection is a stream.
    pub(super) fn has_stream(&self) -> bool {
        self.state.lock().streams > 0
    }

    /// Records that the socket has received bytes.
    pub(super) fn record_read(&self) {
        let mut state = self.state.lock();
        if state.open_requests == 0 && !state.awaits_head && !self.is_http2() {
            state.awaits_head = true;
            state.deadline = Instant::now() + self.timeouts.header;
        }
    }

    /// Records that the socket has accepted bytes to send.
    pub(super) fn record_write(&self) {
        self.progress.record();
        let mut state = self.state.lock();
        state.blocked_since = None;
        if state.open_requests == 0 && !state.awaits_head {
            state.deadline = Instant::now() + self.timeouts.idle;
        }
    }

    /// Records that the socket accepts no bytes at the moment.
    pub(super) fn record_blocked_write(&self) {
        self.state.lock().blocked_since.get_or_insert_with(Instant::now);
    }

    /// The next deadline, and the timeout that passes then. If no timeout applies, the time at which to call this
    /// again.
    pub(super) fn next_timeout(&self) -> (Instant, Option<Timeout>) {
        let state = self.state.lock();
        let read = (state.open_requests == 0).then(|| {
            (state.deadline, if state.awaits_head { Timeout::Header } else { Timeout::Idle })
        });
        let blocked = state.blocked_since.filter(|_| state.streams == 0);
        let write = blocked.map(|since| (since + self.timeouts.write, Timeout::Write));
        match [read, write].into_iter().flatten().min_by_key(|(deadline, _)| *deadline) {
            Some((deadline, timeout)) => (deadline, Some(timeout)),
            // On HTTP/2 a response ends in a task of hyper, which does not wake the caller.
            None => (Instant::now() + self.timeouts.idle.min(self.timeouts.write), None),
        }
    }

    /// Gives a closing connection another [`Timeouts::header`] to finish.
    pub(super) fn extend_deadline(&self) {
        self.state.lock().deadline = Instant::now() + self.timeouts.header;
    }
}

/// A request whose response is not completely sent.
pub(super) struct RequestGuard(Arc<ConnectionState>);

impl Drop for RequestGuard {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.open_requests -= 1;
        if state.open_requests == 0 {
            state.deadline = Instant::now() + self.0.timeouts.idle;
        }
    }
}

/// A response that is a stream.
pub(super) struct StreamGuard(Arc<ConnectionState>);

impl Drop for StreamGuard {
    fn drop(&mut self) {
        self.0.state.lock().streams -= 1;
    }
}
