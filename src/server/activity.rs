//! What goes on on a connection, and by when something has to happen on it.
//!
//! The socket tells when bytes come in and go out, the requests when they begin and when their answers
//! are out. From that follows the one deadline that the connection has at a time:
//!
//! - of the first request, from connecting on: [`Times::header`], TLS included;
//! - of a later head on HTTP/1.1, from its first byte on: [`Times::header`];
//! - between requests: [`Times::idle`];
//! - while the socket takes nothing of an answer that has an end: [`Times::write`].
//!
//! An answer without an end, a stream, has rules of its own and no deadline here.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::pace::Pace;

/// How long a peer may take.
#[derive(Clone, Copy)]
pub(super) struct Times {
    pub(super) header: Duration,
    pub(super) idle: Duration,
    pub(super) write: Duration,
}

/// Why a deadline passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// No complete head has come.
    Head,
    /// Nobody has asked for anything.
    Idle,
    /// The peer takes nothing.
    Unread,
}

/// See above.
pub(super) struct Activity {
    times: Times,
    /// Frames come in while nobody asks for anything.
    is_h2: AtomicBool,
    /// Progress of what is written, on HTTP/1.1, where one answer goes out at a time.
    pub(super) pace: Arc<Pace>,
    state: Mutex<State>,
}

struct State {
    /// Requests whose answers are not out yet.
    open: u32,
    /// Answers without an end.
    streams: u32,
    /// While no request is open: by when something has to come.
    by: Instant,
    /// What that is: the rest of a head, or anything.
    is_head: bool,
    /// Since when the socket takes nothing.
    blocked: Option<Instant>,
}

impl Activity {
    /// Of a connection that has just been accepted.
    pub(super) fn new(times: Times) -> Arc<Self> {
        let by = Instant::now() + times.header;
        let state = State { open: 0, streams: 0, by, is_head: true, blocked: None };
        Arc::new(Self {
            times,
            is_h2: AtomicBool::new(false),
            pace: Arc::default(),
            state: Mutex::new(state),
        })
    }

    /// It speaks HTTP/2.
    pub(super) fn speaks_h2(&self) {
        self.is_h2.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_h2(&self) -> bool {
        self.is_h2.load(Ordering::Relaxed)
    }

    /// By when the first request must have come.
    pub(super) fn first_by(&self) -> Instant {
        self.state.lock().by
    }

    /// A request has begun.
    pub(super) fn begin(self: &Arc<Self>) -> Answering {
        let mut state = self.state.lock();
        state.open += 1;
        state.is_head = false;
        Answering(Arc::clone(self))
    }

    /// Its answer is a stream.
    pub(super) fn begin_stream(self: &Arc<Self>) -> Streaming {
        self.state.lock().streams += 1;
        Streaming(Arc::clone(self))
    }

    /// Whether an answer is a stream.
    pub(super) fn is_streaming(&self) -> bool {
        self.state.lock().streams > 0
    }

    /// Bytes have come in.
    pub(super) fn came_in(&self) {
        let mut state = self.state.lock();
        if state.open == 0 && !state.is_head && !self.is_h2() {
            state.is_head = true;
            state.by = Instant::now() + self.times.header;
        }
    }

    /// The socket has taken bytes.
    pub(super) fn went_out(&self) {
        self.pace.progress();
        let mut state = self.state.lock();
        state.blocked = None;
        if state.open == 0 && !state.is_head {
            state.by = Instant::now() + self.times.idle;
        }
    }

    /// The socket takes no bytes at the moment.
    pub(super) fn blocked(&self) {
        self.state.lock().blocked.get_or_insert_with(Instant::now);
    }

    /// The next deadline, and what it is of. While there is none: when to look again.
    pub(super) fn due(&self) -> (Instant, Option<Due>) {
        let state = self.state.lock();
        let waits = (state.open == 0)
            .then(|| (state.by, if state.is_head { Due::Head } else { Due::Idle }));
        let blocked = state.blocked.filter(|_| state.streams == 0);
        let blocked = blocked.map(|since| (since + self.times.write, Due::Unread));
        match [waits, blocked].into_iter().flatten().min_by_key(|(by, _)| *by) {
            Some((by, due)) => (by, Some(due)),
            // On HTTP/2 answers end elsewhere, without a word to who asks this.
            None => (Instant::now() + self.times.idle.min(self.times.write), None),
        }
    }

    /// Gives a connection that says goodbye another while for it.
    pub(super) fn extend(&self) {
        self.state.lock().by = Instant::now() + self.times.header;
    }
}

/// A request whose answer is not out yet.
pub(super) struct Answering(Arc<Activity>);

impl Drop for Answering {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.open -= 1;
        if state.open == 0 {
            state.by = Instant::now() + self.0.times.idle;
        }
    }
}

/// An answer that is a stream.
pub(super) struct Streaming(Arc<Activity>);

impl Drop for Streaming {
    fn drop(&mut self) {
        self.0.state.lock().streams -= 1;
    }
}
