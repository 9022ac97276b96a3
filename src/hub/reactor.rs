//! The threads that hold the sockets of open streams.
//!
//! Each waits for news of its sockets, walks the audience of a topic that has moved, and looks at
//! all its streams with every tick. It never waits for anything else: not for a client, not for the
//! database.

use std::{
    collections::VecDeque,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use entity::Timestamp;
use mio::{Events, Poll, Registry, Token, Waker, event::Event};
use slab::Slab;

use super::{
    course::{Course, Now},
    live::Live,
    outlet::{Outlet, Sink},
    uring::{BATCH, Sender},
};
use crate::event::Cursor;

/// Ticks in a heartbeat: streams are silent for an eighth less than it at least, and never longer.
const TICKS: u32 = 8;

/// Ends that come by the clock are looked for no more often than this.
const GRAIN: Duration = Duration::from_millis(10);

/// Streams that are written to before the reactor looks up: some 2 ms.
const SLICE: usize = BATCH;

/// From more than this many on io_uring pays.
const FEW: usize = 8;

/// News of so many sockets at a time.
const EVENTS: usize = 1024;

const WAKER: Token = Token(usize::MAX);

/// All of them.
pub(super) struct Reactors {
    all: Box<[Arc<Reactor>]>,
    next: AtomicUsize,
}

/// One thread's share of the open streams.
pub(super) struct Reactor {
    index: usize,
    registry: Registry,
    waker: Waker,
    inbox: Mutex<Inbox>,
    outlets: Mutex<Slab<Arc<Outlet>>>,
    tick: AtomicU32,
}

/// What others want of a reactor.
#[derive(Default)]
struct Inbox {
    moved: Vec<Arc<Live>>,
    retired: Vec<Token>,
    /// Look at all streams, at once or at this time.
    look: bool,
    until: Option<Instant>,
    stop: bool,
}

impl Inbox {
    fn is_empty(&self) -> bool {
        let Self { moved, retired, look, until, stop } = self;
        moved.is_empty() && retired.is_empty() && !look && until.is_none() && !stop
    }
}

impl Reactors {
    /// Starts `count` threads, which send by io_uring if `uring` and the kernel has it.
    pub(super) fn start(count: usize, heartbeat: Duration, uring: bool) -> io::Result<Arc<Self>> {
        let all =
            (0..count).map(|index| start(index, heartbeat, uring)).collect::<io::Result<_>>()?;
        Ok(Arc::new(Self { all, next: AtomicUsize::new(0) }))
    }

    pub(super) fn count(&self) -> usize {
        self.all.len()
    }

    /// Gives a stream its way out.
    pub(super) fn attach(&self, sink: Sink, course: Course) -> Arc<Outlet> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.all.len();
        let (reactor, until) = (&self.all[turn], course.until());
        let outlet = reactor.insert(sink, course);
        if until.is_some() {
            reactor.ask(|inbox| inbox.until = [inbox.until, until].into_iter().flatten().min());
        }
        outlet
    }

    /// A topic with many streams has moved.
    pub(super) fn go_round(&self, reactor: usize, live: Arc<Live>) {
        self.all[reactor].ask(|inbox| inbox.moved.push(live));
    }

    /// Something has happened that may end streams.
    pub(super) fn look(&self) {
        for reactor in &self.all {
            reactor.ask(|inbox| inbox.look = true);
        }
    }

    /// Ends the threads and drops what is still open.
    pub(super) fn stop(&self) {
        for reactor in &self.all {
            reactor.ask(|inbox| inbox.stop = true);
        }
    }
}

impl Reactor {
    pub(super) fn index(&self) -> usize {
        self.index
    }

    pub(super) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Counts up, several times in a heartbeat.
    pub(super) fn tick(&self) -> u32 {
        self.tick.load(Ordering::Relaxed)
    }

    /// A stream has ended.
    pub(super) fn retire(&self, token: Token) {
        self.ask(|inbox| inbox.retired.push(token));
    }

    fn insert(self: &Arc<Self>, sink: Sink, course: Course) -> Arc<Outlet> {
        let mut outlets = self.outlets();
        let entry = outlets.vacant_entry();
        let live = Arc::clone(&course.live);
        // There are fewer descriptors than that.
        let key = u32::try_from(entry.key()).unwrap_or(u32::MAX);
        let outlet = Arc::new(Outlet::new(Arc::clone(self), key, sink, course));
        // Before the reactor can see it, and let it go.
        live.add(&outlet);
        entry.insert(Arc::clone(&outlet));
        outlet
    }

    fn ask(&self, what: impl FnOnce(&mut Inbox)) {
        let mut inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        let asleep = inbox.is_empty();
        what(&mut inbox);
        drop(inbox);
        // Else it has been woken already and has not looked yet.
        if asleep && let Err(error) = self.waker.wake() {
            tracing::error!(%error, "cannot wake a reactor");
        }
    }

    fn outlet(&self, key: usize) -> Option<Arc<Outlet>> {
        self.outlets().get(key).cloned()
    }

    fn outlets(&self) -> MutexGuard<'_, Slab<Arc<Outlet>>> {
        self.outlets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn start(index: usize, heartbeat: Duration, uring: bool) -> io::Result<Arc<Reactor>> {
    let poll = Poll::new()?;
    let reactor = Arc::new(Reactor {
        index,
        registry: poll.registry().try_clone()?,
        waker: Waker::new(poll.registry(), WAKER)?,
        inbox: Mutex::default(),
        outlets: Mutex::default(),
        tick: AtomicU32::new(0),
    });
    let now = Instant::now();
    let mut worker = Worker {
        reactor: Arc::clone(&reactor),
        poll,
        rounds: VecDeque::new(),
        slice: Vec::with_capacity(SLICE),
        sender: None,
        results: Vec::new(),
        interval: heartbeat / TICKS,
        next_tick: now + heartbeat / TICKS,
        next_look: now + heartbeat / TICKS,
    };
    thread::Builder::new().name(format!("reactor-{index}")).spawn(move || {
        if uring {
            worker.use_uring();
        }
        worker.run();
    })?;
    Ok(reactor)
}

/// A walk through a topic's audience, from the last place to the first.
struct Walk {
    live: Arc<Live>,
    /// Where the ring stood when it began.
    from: Option<Cursor>,
    /// Places still to go.
    left: usize,
}

/// A reactor's own side.
struct Worker {
    reactor: Arc<Reactor>,
    poll: Poll,
    rounds: VecDeque<Walk>,
    slice: Vec<Arc<Outlet>>,
    sender: Option<Sender>,
    results: Vec<Option<io::Result<usize>>>,
    interval: Duration,
    next_tick: Instant,
    next_look: Instant,
}

impl Worker {
    /// In the thread itself, which is the only one that may use it.
    fn use_uring(&mut self) {
        match Sender::new() {
            Ok(sender) => self.sender = Some(sender),
            Err(error) => tracing::warn!(%error, "streams.io_uring: not here; going on without it"),
        }
    }

    fn run(&mut self) {
        let mut events = Events::with_capacity(EVENTS);
        // A fault in one turn must not silence all the streams of this thread.
        while catch_unwind(AssertUnwindSafe(|| self.turn(&mut events))).unwrap_or(true) {}
    }

    /// One turn. Whether there is to be another.
    fn turn(&mut self, events: &mut Events) -> bool {
        let wait = if self.rounds.is_empty() {
            self.next_look.saturating_duration_since(Instant::now())
        } else {
            Duration::ZERO
        };
        if let Err(error) = self.poll.poll(events, Some(wait))
            && error.kind() != io::ErrorKind::Interrupted
        {
            tracing::error!(%error, "a reactor cannot wait for news");
        }
        for event in events.iter().filter(|event| event.token() != WAKER) {
            // Keys of streams that have ended are given away again after this loop only, so the
            // news are of the stream that has the key.
            if let Some(outlet) = self.reactor.outlet(event.token().0) {
                hear(&outlet, event);
            }
        }
        let inbox = {
            let mut inbox = self.reactor.inbox.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *inbox)
        };
        for token in inbox.retired {
            self.let_go(token.0);
        }
        if inbox.stop {
            let keys: Vec<usize> = self.reactor.outlets().iter().map(|(key, _)| key).collect();
            keys.into_iter().for_each(|key| self.let_go(key));
            return false;
        }
        for live in inbox.moved {
            let walk = self.walk(live);
            self.rounds.push_back(walk);
        }
        self.step();
        let now = Instant::now();
        self.next_look = inbox.until.map_or(self.next_look, |until| until.min(self.next_look));
        if inbox.look || now >= self.next_look {
            self.look(now);
        }
        true
    }

    fn walk(&self, live: Arc<Live>) -> Walk {
        let (from, left) = (live.head(), live.part_size(self.reactor.index));
        Walk { live, from, left }
    }

    /// Goes on with every walk for a slice, so that none holds up another.
    fn step(&mut self) {
        for _ in 0..self.rounds.len() {
            let Some(mut walk) = self.rounds.pop_front() else { return };
            let (reactor, to) = (self.reactor.index, walk.left);
            walk.left = to.saturating_sub(SLICE);
            walk.live.part(reactor, walk.left, to, &mut self.slice);
            self.write();
            if walk.left > 0 {
                self.rounds.push_back(walk);
            } else if walk.live.been_round(reactor, walk.from) {
                let again = self.walk(walk.live);
                self.rounds.push_back(again);
            }
        }
    }

    /// Writes what is new to the streams in the slice.
    fn write(&mut self) {
        if let Some(sender) = &mut self.sender
            && self.slice.len() > FEW
        {
            let writes: Vec<_> = self.slice.iter().filter_map(Outlet::ask).collect();
            sender
                .send(writes.iter().map(|write| (write.socket, write.bytes())), &mut self.results);
            let mut results = self.results.drain(..);
            for write in writes {
                write.done(results.next().flatten());
            }
            self.slice.clear();
            if !sender.works() {
                self.sender = None;
            }
        } else {
            self.slice.drain(..).for_each(|outlet| outlet.moved());
        }
    }

    /// Looks at every stream.
    fn look(&mut self, now: Instant) {
        if now >= self.next_tick {
            self.reactor.tick.fetch_add(1, Ordering::Relaxed);
            self.next_tick = now + self.interval;
        }
        let seen = Now {
            instant: now,
            timestamp: Timestamp::now(),
            tick: self.reactor.tick(),
            quiet: TICKS - 1,
        };
        let mut soonest = self.next_tick;
        let mut from = 0;
        loop {
            let to = {
                let outlets = self.reactor.outlets();
                let to = outlets.capacity().min(from + SLICE);
                self.slice.extend((from..to).filter_map(|key| outlets.get(key).cloned()));
                to
            };
            for outlet in self.slice.drain(..) {
                if let Some(next) = outlet.look(&seen) {
                    soonest = soonest.min(next);
                }
            }
            if to == from {
                break;
            }
            from = to;
        }
        self.next_look = soonest.max(now + GRAIN);
    }

    fn let_go(&self, key: usize) {
        let Some(outlet) = self.reactor.outlets().try_remove(key) else { return };
        outlet.deregister();
        outlet.depart();
    }
}

/// News of a socket.
fn hear(outlet: &Arc<Outlet>, event: &Event) {
    let closed = event.is_read_closed() || event.is_write_closed() || event.is_error();
    if closed || event.is_readable() && !outlet.drain() {
        outlet.leave();
    } else if event.is_writable() {
        outlet.try_again();
    }
}
