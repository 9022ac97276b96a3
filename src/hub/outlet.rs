//! Where one open stream leaves: a socket that is its own, or the body of a response.
//!
//! Whoever has a reason drives it: the publisher when its topic moves, its reactor when the topic
//! has many subscribers, when the socket takes more and when it is looked at by the clock, whoever
//! has read the log for it. All that stays behind for a client that does not read is a cursor and
//! the rest of the frame that was begun.

mod body;

use std::{
    collections::BTreeMap,
    io::{self, ErrorKind, Read, Write as _},
    net::Shutdown,
    os::fd::{AsRawFd, RawFd},
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicU32},
    task::Waker,
    time::{Duration, Instant},
};

use mio::{Interest, Token, net::TcpStream};
use uuid::Uuid;

pub(super) use body::Body;

use super::{
    clock::Now,
    connection::Connected,
    course::{Course, Next, Piece},
    end::End,
    frame::Run,
    reactor::Reactor,
};

/// How long a client may take to close its side after the end.
const LINGER: Duration = Duration::from_secs(1);

/// Reads of 4 KiB at a time after which a client that talks where it should listen is cut off.
const TALK: usize = 16;

/// The way out.
pub(super) enum Sink {
    /// Frames go out as they are.
    Socket(TcpStream),
    /// Somebody else frames them, and is woken for more.
    Body(Option<Waker>),
    /// The socket after the last byte, until the client closes it too or this has passed.
    Ending(TcpStream, Instant),
}

/// See above.
pub(super) struct Outlet {
    /// Who looks after it.
    pub(super) reactor: Arc<Reactor>,
    key: u32,
    /// Where it stands in its topic.
    pub(super) place: AtomicU32,
    state: Mutex<State>,
}

struct State {
    sink: Sink,
    course: Course,
    /// The socket takes no more until it says so.
    is_full: bool,
    /// The socket is asked to say so.
    is_asked: bool,
    hands: Hands,
}

/// Who has a stream in hand.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hands {
    /// Whoever drives it.
    Anybody,
    /// A walk, which alone knows how far it has been written to.
    AtEase,
    /// The reactor, to let it go.
    Retired,
}

// A gateway holds tens of thousands of these.
const _: () = assert!(size_of::<Outlet>() + 2 * size_of::<usize>() <= 256);

impl Outlet {
    pub(super) fn new(reactor: Arc<Reactor>, key: u32, sink: Sink, course: Course) -> Self {
        let state = State { sink, course, is_full: false, is_asked: false, hands: Hands::Anybody };
        Self { reactor, key, place: AtomicU32::new(0), state: Mutex::new(state) }
    }

    /// Goes on from where opening it has left, and catches up with what happened meanwhile, to the
    /// topic or to the caller.
    pub(super) fn begin(self: &Arc<Self>) {
        let now = self.reactor.now();
        self.look(&now);
        if let Some(by) = self.look_by(&now) {
            self.reactor.look_by(by);
        }
    }

    /// The topic has moved.
    pub(super) fn moved(self: &Arc<Self>) {
        let mut state = self.state();
        state.course.moved();
        self.drive(&mut state);
    }

    /// The socket takes more, or so it may be.
    pub(super) fn try_again(self: &Arc<Self>) {
        let mut state = self.settled();
        state.is_full = false;
        self.drive(&mut state);
    }

    /// Changes the stream's course and goes on.
    pub(super) fn steer(self: &Arc<Self>, change: impl FnOnce(&mut Course)) {
        let mut state = self.state();
        change(&mut state.course);
        self.drive(&mut state);
    }

    /// Writes what there is, as far as the socket takes it.
    fn drive(self: &Arc<Self>, state: &mut State) {
        while let Some(piece) = self.next(state) {
            let Sink::Socket(socket) = &mut state.sink else { return };
            let result = socket.write(piece.bytes());
            self.wrote(state, piece, result);
        }
    }

    /// What is to be written to the socket, if there is anything and the socket takes it.
    fn next(self: &Arc<Self>, state: &mut State) -> Option<Piece> {
        match &mut state.sink {
            // At ease it has been written to since this was called for.
            Sink::Socket(_) if state.is_full || state.hands != Hands::Anybody => {
                return None;
            }
            Sink::Socket(_) => {}
            Sink::Body(_) => {
                state.wake();
                return None;
            }
            Sink::Ending(..) => return None,
        }
        match state.course.next() {
            Next::Write(piece) => return Some(piece),
            Next::Wait => {}
            Next::Fetch => state.course.fetch(self),
            Next::Done => self.finish(state),
        }
        None
    }

    /// Takes note of what came of a write.
    fn wrote(&self, state: &mut State, piece: Piece, result: io::Result<usize>) {
        match result {
            Ok(written) => {
                let is_all = written == piece.bytes().len();
                state.course.wrote(piece, written, self.reactor.tick());
                if !is_all {
                    self.fill_up(state);
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                state.course.blocked();
                self.fill_up(state);
            }
            Err(_) => self.retire(state),
        }
    }

    /// The topic has moved. Returns the socket and how far it has been written to if the stream may
    /// take its ease from now on, in this history of the ring: then it is not asked any more, but
    /// settled before it is.
    pub(super) fn moved_to_ease(self: &Arc<Self>, history: u32) -> Option<(RawFd, i64)> {
        let mut state = self.state();
        state.course.moved();
        self.drive(&mut state);
        let Sink::Socket(socket) = &state.sink else { return None };
        let socket = socket.as_raw_fd();
        if state.is_full || state.hands == Hands::Retired || !state.course.wants_all(history) {
            return None;
        }
        state.hands = Hands::AtEase;
        Some((socket, state.course.place.seq))
    }

    /// Takes note of what was written while it was at ease.
    pub(super) fn settle(&self, seq: i64, tick: u32) {
        let mut state = self.state();
        if state.hands == Hands::AtEase {
            state.hands = Hands::Anybody;
        }
        state.course.settle(seq, tick);
    }

    /// Takes note of what came of a write that somebody else did, and goes on.
    pub(super) fn wrote_for(self: &Arc<Self>, run: Run, result: io::Result<usize>) {
        let mut state = self.state();
        self.wrote(&mut state, Piece::Frames(run), result);
        self.drive(&mut state);
    }

    /// The socket takes no more: waits until it does.
    fn fill_up(&self, state: &mut State) {
        state.is_full = true;
        if state.course.is_ending()
            && let Some(by) = state.course.look_by(&self.reactor.now())
        {
            self.reactor.look_by(by);
        }
        // Asked for once it is needed: most sockets never are full.
        if !state.is_asked
            && let Sink::Socket(socket) = &mut state.sink
        {
            state.is_asked = true;
            let interest = Interest::READABLE | Interest::WRITABLE;
            let asked = self.reactor.registry().reregister(socket, self.token(), interest);
            if asked.is_err() {
                self.retire(state);
            }
        }
    }

    /// The last byte is written: the client is to see the end, and then close too.
    fn finish(&self, state: &mut State) {
        state.course.release();
        let sink = std::mem::replace(&mut state.sink, Sink::Body(None));
        match sink {
            // An error means that the client has left already, of which the reactor hears.
            Sink::Socket(socket) => {
                let _ = socket.shutdown(Shutdown::Write);
                let until = Instant::now() + LINGER;
                self.reactor.look_by(until);
                state.sink = Sink::Ending(socket, until);
            }
            _ => self.retire(state),
        }
    }

    /// Hands it back to the reactor, at once free for others in all but memory.
    fn retire(&self, state: &mut State) {
        state.course.release();
        if state.hands != Hands::Retired {
            state.hands = Hands::Retired;
            self.reactor.retire(self.token());
            state.wake();
        }
    }

    /// The client is gone.
    pub(super) fn leave(&self) {
        self.retire(&mut self.state());
    }

    /// The reactor has let it go.
    pub(super) fn depart(&self) {
        let live = {
            let mut state = self.state();
            state.hands = Hands::Retired;
            state.course.release();
            state.wake();
            Arc::clone(&state.course.live)
        };
        live.remove(self);
    }

    /// Has the reactor told of what happens on the socket.
    pub(super) fn register(&self) -> io::Result<()> {
        let mut state = self.state();
        if state.hands == Hands::Retired {
            // Its token may be another's by now.
            return Ok(());
        }
        match &mut state.sink {
            Sink::Socket(socket) | Sink::Ending(socket, _) => {
                self.reactor.registry().register(socket, self.token(), Interest::READABLE)
            }
            Sink::Body(_) => Ok(()),
        }
    }

    /// No more news of the socket.
    pub(super) fn deregister(&self) {
        if let Sink::Socket(socket) | Sink::Ending(socket, _) = &mut self.state().sink {
            // It may never have been registered.
            let _ = self.reactor.registry().deregister(socket);
        }
    }

    /// Reads away what a client says that should only listen, a little of it. Whether it is still
    /// there and is to stay.
    pub(super) fn drain(&self) -> bool {
        let mut scratch = [0; 4096];
        let mut state = self.state();
        let (Sink::Socket(socket) | Sink::Ending(socket, _)) = &mut state.sink else { return true };
        for _ in 0..TALK {
            match socket.read(&mut scratch) {
                Ok(0) => return false,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            }
        }
        false
    }

    /// On a tick: ends what has to end, says something on a silent stream.
    pub(super) fn look(self: &Arc<Self>, now: &Now) {
        let mut state = self.settled();
        let may_stay = match &state.sink {
            Sink::Ending(_, until) => *until > now.instant,
            sink => {
                let is_stuck = state.is_full || matches!(sink, Sink::Body(None));
                state.course.look(now, is_stuck)
            }
        };
        if may_stay {
            self.drive(&mut state);
        } else {
            self.retire(&mut state);
        }
    }

    /// Ends it for a reason from outside.
    pub(super) fn end(self: &Arc<Self>, end: End) {
        let mut state = self.settled();
        state.course.close(end);
        self.drive(&mut state);
        drop(state);
        // It has only so long to say so.
        if let Some(by) = self.look_by(&self.reactor.now()) {
            self.reactor.look_by(by);
        }
    }

    /// Whether it is open, on this connection, and this user's or anybody's.
    pub(super) fn is_on(&self, id: Uuid, user: Option<Uuid>) -> bool {
        let state = self.state();
        state.course.is_on(id) && state.course.is_of(user)
    }

    /// Adds it to the list if it is open and this user's, or anybody's.
    pub(super) fn report(&self, user: Option<Uuid>, list: &mut BTreeMap<Uuid, Connected>) {
        // Others are left at ease.
        let is_asked_for = self.state().course.is_of(user);
        if is_asked_for {
            self.settled().course.report(list);
        }
    }

    /// When to look again at the latest.
    pub(super) fn look_by(&self, now: &Now) -> Option<Instant> {
        let state = self.state();
        match &state.sink {
            Sink::Ending(_, until) => Some(*until),
            _ => state.course.look_by(now),
        }
    }

    /// Its state, for what a walk knows nothing of.
    fn settled(&self) -> MutexGuard<'_, State> {
        loop {
            let state = self.state();
            if state.hands != Hands::AtEase {
                return state;
            }
            let live = Arc::clone(&state.course.live);
            drop(state);
            live.settle(self);
        }
    }

    fn token(&self) -> Token {
        Token(self.key as usize)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Has a body asked for more.
    fn wake(&mut self) {
        if let Sink::Body(reader) = &mut self.sink
            && let Some(reader) = reader.take()
        {
            reader.wake();
        }
    }
}
