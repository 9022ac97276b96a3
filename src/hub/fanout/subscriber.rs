//! One open stream with its socket or its response body.
//!
//! Each of these drives a stream:
//! - the task that delivers an event, if the topic has few subscribers;
//! - the reactor, when the topic has many subscribers, when the socket accepts more bytes, and when the stream is
//!   checked periodically;
//! - the task that has read the log for the stream;
//! - the task that reads the response body.
//!
//! For a client that does not read, only a position and the unsent part of one frame stay in memory.

use std::{
    collections::BTreeMap,
    io::{self, ErrorKind, Write as _},
    os::fd::{AsRawFd, RawFd},
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicU32},
    time::Instant,
};

use mio::{Interest, Token};
use sea_orm::DbErr;
use uuid::Uuid;

use super::{handle::ReactorHandle, sink::Sink};
use crate::hub::{
    subscription::{CheckTime, End, Next, OpenConnection, Piece, Subscription},
    topic::{Missed, Run},
};

/// One open stream with its socket or response body.
pub struct Subscriber {
    reactor: Arc<ReactorHandle>,
    /// Key of the stream at its reactor, and token of its socket.
    key: u32,
    /// Index of the subscriber in its shard.
    pub index: AtomicU32,
    state: Mutex<State>,
}

/// The part of a subscriber that only one thread uses at a time.
pub struct State {
    pub(super) sink: Sink,
    pub(super) subscription: Subscription,
    /// Whether the socket was full at the last write. Cleared when the reactor is told that it accepts bytes again.
    is_full: bool,
    /// Whether the reactor is told when the socket accepts more bytes.
    is_write_watched: bool,
    pub(super) mode: Mode,
}

/// The threads that may write to a stream.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Any thread that has locked the state.
    Shared,
    /// Only the fan-out. Its entry in the shard has the current position.
    Direct,
    /// No thread: the reactor removes the stream.
    Closed,
}

// A gateway holds tens of thousands of subscribers. With the two counters of its `Arc`, a subscriber fits the
// allocator's size class of 192 bytes. In a debug build, `mio` adds 8 bytes to a socket.
const _: () = assert!(
    size_of::<Subscriber>() + 2 * size_of::<usize>()
        <= if cfg!(debug_assertions) { 200 } else { 192 }
);

impl Subscriber {
    /// Creates a subscriber that has this key at the reactor.
    pub fn new(
        reactor: Arc<ReactorHandle>,
        key: u32,
        sink: Sink,
        subscription: Subscription,
    ) -> Self {
        let (is_full, is_write_watched, mode) = (false, false, Mode::Shared);
        let state = State { sink, subscription, is_full, is_write_watched, mode };
        Self { reactor, key, index: AtomicU32::new(0), state: Mutex::new(state) }
    }

    /// The reactor that holds the stream.
    pub fn reactor(&self) -> &Arc<ReactorHandle> {
        &self.reactor
    }

    /// Locks the state. In direct mode, the subscription's position and count are outdated.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes to the stream after its topic has moved.
    pub fn topic_changed(self: &Arc<Self>) {
        let mut state = self.state();
        state.subscription.topic_changed();
        self.write_pending(&mut state);
    }

    /// Writes to the stream after the reactor was told that the socket accepts bytes again.
    pub fn on_writable(self: &Arc<Self>, state: &mut State) {
        state.is_full = false;
        self.write_pending(state);
    }

    /// Writes until the stream has nothing to write or the socket is full.
    fn write_pending(self: &Arc<Self>, state: &mut State) {
        while let Some(piece) = self.next(state) {
            let Sink::Socket(socket) = &mut state.sink else { return };
            let result = socket.write(piece.bytes());
            self.apply_write_result(state, piece, result);
        }
    }

    /// The next piece to write to the socket. `None` if there is nothing to write, or the socket is full. For a
    /// response body, wakes the task that reads it.
    fn next(self: &Arc<Self>, state: &mut State) -> Option<Piece> {
        match &mut state.sink {
            // In direct mode, the fan-out has written to the stream in the meantime.
            Sink::Socket(_) if state.is_full || state.mode != Mode::Shared => return None,
            Sink::Socket(_) => {}
            Sink::Body(_) => {
                state.sink.wake();
                return None;
            }
            Sink::Ending(..) => return None,
        }
        match state.subscription.next() {
            Next::Write(piece) => return Some(piece),
            Next::Wait => {}
            Next::CatchUp => self.catch_up(&mut state.subscription),
            Next::Done => self.finish(state),
        }
        None
    }

    /// Applies the result of a write.
    fn apply_write_result(&self, state: &mut State, piece: Piece, result: io::Result<usize>) {
        match result {
            Ok(written) => {
                let is_all = written == piece.bytes().len();
                state.subscription.wrote(piece, written, self.reactor.tick());
                if !is_all {
                    self.wait_until_writable(state);
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                state.subscription.blocked();
                self.wait_until_writable(state);
            }
            Err(_) => self.close_locked(state),
        }
    }

    /// Writes to the stream after its topic has moved. Then the stream enters direct mode, if it wants every frame of
    /// this history of the ring. Returns its socket, and the number of the newest event that was written. `None` if the
    /// stream does not enter direct mode. Direct mode has to end before any code but the fan-out uses the stream.
    pub fn enter_direct_mode(self: &Arc<Self>, history: u32) -> Option<(RawFd, i64)> {
        let mut state = self.state();
        state.subscription.topic_changed();
        self.write_pending(&mut state);
        let Sink::Socket(socket) = &state.sink else { return None };
        let socket = socket.as_raw_fd();
        if state.is_full || state.mode == Mode::Closed || !state.subscription.wants_all(history) {
            return None;
        }
        state.mode = Mode::Direct;
        Some((socket, state.subscription.position().seq))
    }

    /// Ends direct mode, in which all events up to `seq` were written.
    pub fn sync_back(&self, seq: i64, tick: u32) {
        let mut state = self.state();
        if state.mode == Mode::Direct {
            state.mode = Mode::Shared;
        }
        state.subscription.sync_back(seq, tick);
    }

    /// Applies the result of a write by the fan-out, and continues to write.
    pub fn wrote_directly(self: &Arc<Self>, run: Run, result: io::Result<usize>) {
        let mut state = self.state();
        self.apply_write_result(&mut state, Piece::Frames(run), result);
        self.write_pending(&mut state);
    }

    /// Marks the socket as full, and waits until it accepts more bytes.
    fn wait_until_writable(&self, state: &mut State) {
        state.is_full = true;
        if state.subscription.is_ending()
            && let Some(by) = state.subscription.check_by(&self.reactor.now())
        {
            self.reactor.check_by(by);
        }
        // Requested only now, because most sockets are never full.
        if !state.is_write_watched
            && let Sink::Socket(socket) = &mut state.sink
        {
            state.is_write_watched = true;
            let interest = Interest::READABLE | Interest::WRITABLE;
            let watched = self.reactor.registry().reregister(socket, self.token(), interest);
            if watched.is_err() {
                self.close_locked(state);
            }
        }
    }

    /// Starts a task that reads the missed events of the subscription from the log.
    pub(super) fn catch_up(self: &Arc<Self>, subscription: &mut Subscription) {
        let (position, most) = subscription.begin_catch_up();
        let (topic, subscriber) = (Arc::clone(subscription.topic()), Arc::clone(self));
        let work = async move {
            let missed = topic.read_missed(position, most).await;
            subscriber.end_catch_up(missed);
        };
        subscription.topic().context().spawn(work);
    }

    fn end_catch_up(self: &Arc<Self>, missed: Result<Missed, DbErr>) {
        let mut state = self.state();
        state.subscription.end_catch_up(missed);
        self.write_pending(&mut state);
    }

    /// Shows the client the end of the stream, after the last byte. A client with its own socket then has to close its
    /// side.
    pub(super) fn finish(&self, state: &mut State) {
        state.subscription.release();
        match state.sink.finish() {
            Some(until) => self.reactor.check_by(until),
            None => self.close_locked(state),
        }
    }

    /// Releases what the stream holds, and asks the reactor to remove the stream.
    fn close_locked(&self, state: &mut State) {
        state.subscription.release();
        if state.mode != Mode::Closed {
            state.mode = Mode::Closed;
            self.reactor.remove(self.token());
            state.sink.wake();
        }
    }

    /// Closes the stream at once.
    pub fn close(&self) {
        self.close_locked(&mut self.state());
    }

    /// Closes the stream after the reactor has removed it.
    pub fn removed(&self) {
        let mut state = self.state();
        state.sink.deregister(self.reactor.registry());
        state.mode = Mode::Closed;
        state.subscription.release();
        state.sink.wake();
    }

    /// Registers the socket, so that the reactor gets its events.
    pub fn register(&self) -> io::Result<()> {
        let mut state = self.state();
        if state.mode == Mode::Closed {
            // The reactor may have given the token to another stream.
            return Ok(());
        }
        state.sink.register(self.reactor.registry(), self.token())
    }

    /// Reads and drops the bytes that the client sends; see [`Sink::drain`].
    pub fn drain(&self) -> bool {
        self.state().sink.drain()
    }

    /// Ends the stream if there is a reason, and sends a heartbeat if the stream was silent for too long.
    pub fn check(self: &Arc<Self>, state: &mut State, now: &CheckTime) {
        let may_stay = match &state.sink {
            Sink::Ending(_, until) => *until > now.instant,
            sink => {
                let is_stuck = state.is_full || matches!(sink, Sink::Body(None));
                state.subscription.check(now, is_stuck)
            }
        };
        if may_stay {
            self.write_pending(state);
        } else {
            self.close_locked(state);
        }
    }

    /// Latest time of the next check. `None` if the periodic checks are enough.
    pub fn check_by(&self, now: &CheckTime) -> Option<Instant> {
        let state = self.state();
        match &state.sink {
            Sink::Ending(_, until) => Some(*until),
            _ => state.subscription.check_by(now),
        }
    }

    /// Ends the stream for an external reason.
    pub fn end_with(self: &Arc<Self>, state: &mut State, end: End) {
        state.subscription.end_with(end);
        self.write_pending(state);
    }

    /// Whether the stream is open, is on this connection, and belongs to `user`. Every open stream belongs to `None`.
    pub fn is_on(&self, id: Uuid, user: Option<Uuid>) -> bool {
        let state = self.state();
        state.subscription.is_on(id) && state.subscription.belongs_to(user)
    }

    /// Whether the stream is open and belongs to `user`. Every open stream belongs to `None`.
    pub fn belongs_to(&self, user: Option<Uuid>) -> bool {
        self.state().subscription.belongs_to(user)
    }

    fn token(&self) -> Token {
        Token(self.key as usize)
    }
}

impl State {
    /// Whether the stream is in direct mode, in which only the fan-out knows the current position.
    pub fn is_direct(&self) -> bool {
        self.mode == Mode::Direct
    }

    /// Adds the stream to its connection in the list.
    pub fn report(&self, list: &mut BTreeMap<Uuid, OpenConnection>) {
        self.subscription.report(list);
    }
}
