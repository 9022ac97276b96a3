//! One open stream with its socket, or with the response body that it is written to.
//!
//! Every thread that has a reason drives it:
//! - the publisher, when its topic moves and has few subscribers;
//! - its reactor, when its topic has many subscribers, when the socket takes more bytes, and when
//!   the stream is checked by the clock;
//! - the task that has read the log for it.
//!
//! For a client that does not read, only a position and the rest of the frame that was begun stay
//! in memory.

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
    subscription::{End, Next, Now, OpenConnection, Piece, Subscription},
    topic::{Missed, Run},
};

/// One open stream with its socket or response body.
pub struct Subscriber {
    reactor: Arc<ReactorHandle>,
    /// Its key among the reactor's streams, and the token of its socket.
    key: u32,
    /// Its index in the shard.
    pub index: AtomicU32,
    state: Mutex<State>,
}

/// The part of a subscriber that only one thread uses at a time.
pub struct State {
    pub(super) sink: Sink,
    pub(super) subscription: Subscription,
    /// The socket takes no bytes until the reactor is told that it does again.
    is_full: bool,
    /// The reactor is told when the socket takes more.
    is_write_watched: bool,
    pub(super) mode: Mode,
}

/// The threads that may write to a stream.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Any thread that holds the state.
    Shared,
    /// Only the fan-out, which alone knows how far it was written to.
    Direct,
    /// None: the reactor removes it.
    Closed,
}

// A gateway holds tens of thousands of these. With the two counters of its `Arc`, one fits the
// allocator's size class of 192 bytes. In a debug build, `mio` adds 8 bytes to a socket.
const _: () = assert!(
    size_of::<Subscriber>() + 2 * size_of::<usize>()
        <= if cfg!(debug_assertions) { 200 } else { 192 }
);

impl Subscriber {
    /// A subscriber that the reactor knows by this key.
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

    /// The reactor that holds it.
    pub fn reactor(&self) -> &Arc<ReactorHandle> {
        &self.reactor
    }

    /// Its state. In direct mode, the subscription's position and count are old.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The topic has moved.
    pub fn moved(self: &Arc<Self>) {
        let mut state = self.state();
        state.subscription.moved();
        self.drive(&mut state);
    }

    /// The socket takes more bytes, as far as the reactor was told.
    pub fn try_again(self: &Arc<Self>, state: &mut State) {
        state.is_full = false;
        self.drive(state);
    }

    /// Writes until there is nothing to write or the socket is full.
    fn drive(self: &Arc<Self>, state: &mut State) {
        while let Some(piece) = self.next(state) {
            let Sink::Socket(socket) = &mut state.sink else { return };
            let result = socket.write(piece.bytes());
            self.wrote(state, piece, result);
        }
    }

    /// The next piece for the socket, if there is one and the socket takes it.
    fn next(self: &Arc<Self>, state: &mut State) -> Option<Piece> {
        match &mut state.sink {
            // In direct mode, the fan-out has written to it since this call was made.
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
    fn wrote(&self, state: &mut State, piece: Piece, result: io::Result<usize>) {
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

    /// The topic has moved. If the stream now wants every frame of this history of the ring, it
    /// enters direct mode. Returns its socket and how far it was written to. Before anything but a
    /// fan-out uses the stream, direct mode has to end.
    pub fn enter_direct_mode(self: &Arc<Self>, history: u32) -> Option<(RawFd, i64)> {
        let mut state = self.state();
        state.subscription.moved();
        self.drive(&mut state);
        let Sink::Socket(socket) = &state.sink else { return None };
        let socket = socket.as_raw_fd();
        if state.is_full || state.mode == Mode::Closed || !state.subscription.wants_all(history) {
            return None;
        }
        state.mode = Mode::Direct;
        Some((socket, state.subscription.position().seq))
    }

    /// Ends direct mode, in which it was written to up to here.
    pub fn sync_back(&self, seq: i64, tick: u32) {
        let mut state = self.state();
        if state.mode == Mode::Direct {
            state.mode = Mode::Shared;
        }
        state.subscription.sync_back(seq, tick);
    }

    /// Applies the result of a write that the fan-out did, and writes on.
    pub fn wrote_directly(self: &Arc<Self>, run: Run, result: io::Result<usize>) {
        let mut state = self.state();
        self.wrote(&mut state, Piece::Frames(run), result);
        self.drive(&mut state);
    }

    /// The socket is full: waits until it takes more bytes.
    fn wait_until_writable(&self, state: &mut State) {
        state.is_full = true;
        if state.subscription.is_ending()
            && let Some(by) = state.subscription.check_by(&self.reactor.now())
        {
            self.reactor.check_by(by);
        }
        // Not before it is needed: most sockets never are full.
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

    /// Has a task read from the log what the subscription has missed.
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
        self.drive(&mut state);
    }

    /// The last byte is written: the client is to see the end, and then close too.
    pub(super) fn finish(&self, state: &mut State) {
        state.subscription.release();
        match state.sink.finish() {
            Some(until) => self.reactor.check_by(until),
            None => self.close_locked(state),
        }
    }

    /// Releases what it holds, and has the reactor remove it.
    fn close_locked(&self, state: &mut State) {
        state.subscription.release();
        if state.mode != Mode::Closed {
            state.mode = Mode::Closed;
            self.reactor.remove(self.token());
            state.sink.wake();
        }
    }

    /// The client is gone.
    pub fn close(&self) {
        self.close_locked(&mut self.state());
    }

    /// The reactor has removed it.
    pub fn removed(&self) {
        let mut state = self.state();
        state.sink.deregister(self.reactor.registry());
        state.mode = Mode::Closed;
        state.subscription.release();
        state.sink.wake();
    }

    /// Has the reactor told of what happens on the socket.
    pub fn register(&self) -> io::Result<()> {
        let mut state = self.state();
        if state.mode == Mode::Closed {
            // Another stream may have its token by now.
            return Ok(());
        }
        state.sink.register(self.reactor.registry(), self.token())
    }

    /// Reads and drops what the client sends; see [`Sink::drain`].
    pub fn drain(&self) -> bool {
        self.state().sink.drain()
    }

    /// Ends it if there is a reason, and sends a heartbeat if it was silent for too long.
    pub fn check(self: &Arc<Self>, state: &mut State, now: &Now) {
        let may_stay = match &state.sink {
            Sink::Ending(_, until) => *until > now.instant,
            sink => {
                let is_stuck = state.is_full || matches!(sink, Sink::Body(None));
                state.subscription.check(now, is_stuck)
            }
        };
        if may_stay {
            self.drive(state);
        } else {
            self.close_locked(state);
        }
    }

    /// Time of the next check at the latest, unless there is another reason for one.
    pub fn check_by(&self, now: &Now) -> Option<Instant> {
        let state = self.state();
        match &state.sink {
            Sink::Ending(_, until) => Some(*until),
            _ => state.subscription.check_by(now),
        }
    }

    /// Ends it for a reason from outside.
    pub fn end_with(self: &Arc<Self>, state: &mut State, end: End) {
        state.subscription.end_with(end);
        self.drive(state);
    }

    /// Whether it is open, on this connection, and belongs to this user.
    pub fn is_on(&self, id: Uuid, user: Option<Uuid>) -> bool {
        let state = self.state();
        state.subscription.is_on(id) && state.subscription.belongs_to(user)
    }

    /// Whether it is open and belongs to this user.
    pub fn belongs_to(&self, user: Option<Uuid>) -> bool {
        self.state().subscription.belongs_to(user)
    }

    fn token(&self) -> Token {
        Token(self.key as usize)
    }
}

impl State {
    /// Whether only the fan-out knows how far the stream was written to.
    pub fn is_direct(&self) -> bool {
        self.mode == Mode::Direct
    }

    /// Adds the stream to its connection in the list.
    pub fn report(&self, list: &mut BTreeMap<Uuid, OpenConnection>) {
        self.subscription.report(list);
    }
}
