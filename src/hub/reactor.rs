//! The threads that hold the sockets of open streams.
//!
//! Each waits for news of its sockets, walks the audience of a topic that has moved, and looks at
//! its streams by the clock (`clock.rs`). It never waits for anything else: not for a client, not for the
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
    clock::{Clock, Now, TICKS},
    course::Course,
    live::Live,
    outlet::{Outlet, Sink},
    ring::Place,
    send::Sender,
};

/// Streams that are written to before the reactor looks up: some 2 ms.
const SLICE: usize = 256;

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
    /// Those with streams here.
    topics: Mutex<Slab<Arc<Live>>>,
    tick: AtomicU32,
    /// From tick to tick.
    interval: Duration,
}

/// What others want of a reactor.
#[derive(Default)]
struct Inbox {
    moved: Vec<Arc<Live>>,
    retired: Vec<Token>,
    /// When to look at all streams at the latest.
    look_by: Option<Instant>,
    stop: bool,
}

impl Inbox {
    fn is_empty(&self) -> bool {
        let Self { moved, retired, look_by, stop } = self;
        moved.is_empty() && retired.is_empty() && look_by.is_none() && !stop
    }

    fn look_by(&mut self, by: Instant) {
        self.look_by = Some(self.look_by.map_or(by, |sooner| sooner.min(by)));
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
        self.all[turn].insert(sink, course)
    }

    /// A topic with many streams has moved.
    pub(super) fn go_round(&self, reactor: usize, live: Arc<Live>) {
        self.all[reactor].ask(|inbox| inbox.moved.push(live));
    }

    /// Something has happened that may end streams.
    pub(super) fn look(&self) {
        let now = Instant::now();
        for reactor in &self.all {
            reactor.ask(|inbox| inbox.look_by(now));
        }
    }

    /// All streams that are open now.
    pub(super) fn outlets(&self) -> Vec<Arc<Outlet>> {
        let each = |reactor: &Arc<Reactor>| -> Vec<Arc<Outlet>> {
            reactor.outlets().iter().map(|(_, outlet)| Arc::clone(outlet)).collect()
        };
        self.all.iter().flat_map(each).collect()
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

    /// The present, for those who look at a stream.
    pub(super) fn now(&self) -> Now {
        let (instant, timestamp) = (Instant::now(), Timestamp::now());
        Now { instant, timestamp, tick: self.tick() }
    }

    /// Something ends by then; sooner than the next look at all streams, perhaps.
    pub(super) fn look_by(&self, by: Instant) {
        if by < Instant::now() + self.interval * TICKS {
            self.ask(|inbox| inbox.look_by(by));
        }
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

    /// Another tick; returns its number.
    pub(super) fn next_tick(&self) -> u32 {
        self.tick.fetch_add(1, Ordering::Relaxed).wrapping_add(1)
    }

    /// Takes note of a topic that has streams here, and returns the key to forget it by.
    pub(super) fn follow(&self, live: Arc<Live>) -> usize {
        self.topics().insert(live)
    }

    /// Forgets a topic that has none any more.
    pub(super) fn unfollow(&self, key: usize) {
        let gone = self.topics().try_remove(key);
        drop(gone);
    }

    /// The topic with streams here that has this key, or the next one.
    pub(super) fn topic_from(&self, key: usize) -> Option<(usize, Arc<Live>)> {
        let topics = self.topics();
        (key..topics.capacity()).find_map(|key| Some((key, Arc::clone(topics.get(key)?))))
    }

    fn topics(&self) -> MutexGuard<'_, Slab<Arc<Live>>> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
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
        topics: Mutex::default(),
        tick: AtomicU32::new(0),
        interval: heartbeat / TICKS,
    });
    let mut worker = Worker {
        reactor: Arc::clone(&reactor),
        poll,
        walks: VecDeque::new(),
        retired: Vec::new(),
        is_to_stop: false,
        sender: None,
        clock: Clock::new(reactor.interval),
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
    from: Option<Place>,
    /// Places still to go.
    left: usize,
}

/// A reactor's own side.
struct Worker {
    reactor: Arc<Reactor>,
    poll: Poll,
    walks: VecDeque<Walk>,
    retired: Vec<Token>,
    is_to_stop: bool,
    sender: Option<Sender>,
    clock: Clock,
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
        // A fault in one turn must not silence all the streams of this thread; what was to be done
        // is kept where it survives the turn.
        while catch_unwind(AssertUnwindSafe(|| self.turn(&mut events))).unwrap_or(true) {}
    }

    /// One turn. Whether there is to be another.
    fn turn(&mut self, events: &mut Events) -> bool {
        let wait = if self.walks.is_empty() { self.clock.wait() } else { Duration::ZERO };
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
        self.take_inbox();
        while let Some(token) = self.retired.pop() {
            self.let_go(token.0);
        }
        if self.is_to_stop {
            let keys: Vec<usize> = self.reactor.outlets().iter().map(|(key, _)| key).collect();
            for key in keys {
                self.let_go(key);
            }
            return false;
        }
        self.step();
        self.clock.look(&self.reactor);
        true
    }

    fn take_inbox(&mut self) {
        let inbox = {
            let mut inbox = self.reactor.inbox.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *inbox)
        };
        self.retired.extend(inbox.retired);
        self.is_to_stop |= inbox.stop;
        for live in inbox.moved {
            let walk = self.walk(live);
            self.walks.push_back(walk);
        }
        if let Some(by) = inbox.look_by {
            self.clock.look_by(by);
        }
    }

    fn walk(&self, live: Arc<Live>) -> Walk {
        let (from, left) = (live.head(), live.part_size(self.reactor.index));
        Walk { live, from, left }
    }

    /// Goes on with every walk for a slice, so that none holds up another.
    fn step(&mut self) {
        for _ in 0..self.walks.len() {
            let Some(walk) = self.walks.front_mut() else { return };
            // Before anything is written: should that fail, the walk goes on behind it.
            let (live, to) = (Arc::clone(&walk.live), walk.left);
            walk.left = to.saturating_sub(SLICE);
            let from = walk.left;
            live.write((from, to), &self.reactor, &mut self.sender);
            let Some(walk) = self.walks.pop_front() else { return };
            if walk.left > 0 {
                self.walks.push_back(walk);
            } else if live.been_round(self.reactor.index, walk.from) {
                let again = self.walk(live);
                self.walks.push_back(again);
            }
        }
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
