//! The threads that hold the sockets of open streams.
//!
//! Each waits for events of its sockets, writes to its shard of a topic that has moved, and checks
//! its streams by the clock (`checks.rs`). It never waits for anything else: not for a client, not
//! for the database.

use std::{
    collections::VecDeque,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use mio::{Events, Poll, event::Event};
use slab::Slab;

use super::{
    checks::Checks,
    handle::{FanOut, ReactorHandle, WAKER},
    send::Sender,
    sink::Sink,
    subscriber::Subscriber,
    subscribers::Subscribers,
};
use crate::hub::{context::Settings, subscription::Subscription, topic::Position};

/// Streams that are written to before the reactor looks at its sockets: some 2 ms.
const SLICE: usize = 256;

/// Most events of sockets at a time.
const EVENTS: usize = 1024;

/// All reactors.
pub struct Reactors {
    all: Box<[Arc<Reactor>]>,
    handles: Arc<[Arc<ReactorHandle>]>,
    next: AtomicUsize,
}

/// One thread's share of the open streams.
struct Reactor {
    handle: Arc<ReactorHandle>,
    streams: Mutex<Slab<Attached>>,
}

/// An open stream and the subscribers to which it belongs.
#[derive(Clone)]
pub struct Attached {
    /// The stream.
    pub subscriber: Arc<Subscriber>,
    /// The subscribers of its topic.
    pub subscribers: Arc<Subscribers>,
}

impl Reactors {
    /// Starts the threads.
    pub fn start(settings: &Settings) -> io::Result<Arc<Self>> {
        let all: Box<[_]> = (0..settings.reactors)
            .map(|index| start(index, settings))
            .collect::<io::Result<_>>()?;
        let handles = all.iter().map(|reactor: &Arc<Reactor>| Arc::clone(&reactor.handle));
        Ok(Arc::new(Self { handles: handles.collect(), all, next: AtomicUsize::new(0) }))
    }

    /// Their handles, in order.
    pub fn handles(&self) -> &Arc<[Arc<ReactorHandle>]> {
        &self.handles
    }

    /// Adds a stream to the reactor that is next.
    pub fn attach(
        &self,
        sink: Sink,
        subscription: Subscription,
        subscribers: &Arc<Subscribers>,
    ) -> Arc<Subscriber> {
        let next = self.next.fetch_add(1, Ordering::Relaxed) % self.all.len();
        self.all[next].insert(sink, subscription, subscribers)
    }

    /// Something has happened that may end streams.
    pub fn check_now(&self) {
        self.handles.iter().for_each(|handle| handle.check_now());
    }

    /// All streams that are open now.
    pub fn streams(&self) -> Vec<Attached> {
        let each = |reactor: &Arc<Reactor>| -> Vec<Attached> {
            reactor.streams().iter().map(|(_, stream)| stream.clone()).collect()
        };
        self.all.iter().flat_map(each).collect()
    }

    /// Ends the threads and drops the streams that are still open.
    pub fn stop(&self) {
        self.handles.iter().for_each(|handle| handle.stop());
    }
}

impl Reactor {
    fn insert(
        &self,
        sink: Sink,
        subscription: Subscription,
        subscribers: &Arc<Subscribers>,
    ) -> Arc<Subscriber> {
        let mut streams = self.streams();
        let vacant = streams.vacant_entry();
        // There are fewer file descriptors than that.
        let key = u32::try_from(vacant.key()).unwrap_or(u32::MAX);
        let handle = Arc::clone(&self.handle);
        let subscriber = Arc::new(Subscriber::new(handle, key, sink, subscription));
        // Before the reactor can see the stream, and remove it.
        subscribers.add(&subscriber);
        let attached = Arc::clone(&subscriber);
        vacant.insert(Attached { subscriber: attached, subscribers: Arc::clone(subscribers) });
        subscriber
    }

    fn remove(&self, key: usize) {
        // The lock is released before the stream is dropped.
        let removed = self.streams().try_remove(key);
        if let Some(Attached { subscriber, subscribers }) = removed {
            subscribers.remove(&subscriber);
        }
    }

    fn stream(&self, key: usize) -> Option<Attached> {
        self.streams().get(key).cloned()
    }

    fn streams(&self) -> MutexGuard<'_, Slab<Attached>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn start(index: usize, settings: &Settings) -> io::Result<Arc<Reactor>> {
    let poll = Poll::new()?;
    let handle = ReactorHandle::new(index, poll.registry(), settings.heartbeat)?;
    let checks = Checks::new(handle.interval());
    let reactor = Arc::new(Reactor { handle, streams: Mutex::default() });
    let mut worker = Worker {
        reactor: Arc::clone(&reactor),
        poll,
        fan_outs: VecDeque::new(),
        closed: Vec::new(),
        is_to_stop: false,
        sender: None,
        checks,
    };
    let io_uring = settings.io_uring;
    thread::Builder::new().name(format!("reactor-{index}")).spawn(move || {
        if io_uring {
            worker.use_io_uring();
        }
        worker.run();
    })?;
    Ok(reactor)
}

/// A fan-out to a topic's shard, from the last index to the first.
struct Running {
    topic: Arc<dyn FanOut>,
    /// The ring's head when it began.
    from: Option<Position>,
    /// Indexes that are left.
    left: usize,
}

/// The part of a reactor that only its thread uses.
struct Worker {
    reactor: Arc<Reactor>,
    poll: Poll,
    fan_outs: VecDeque<Running>,
    closed: Vec<mio::Token>,
    is_to_stop: bool,
    sender: Option<Sender>,
    checks: Checks,
}

impl Worker {
    /// Runs in the thread itself, which is the only one that may use the queue.
    fn use_io_uring(&mut self) {
        match Sender::new() {
            Ok(sender) => self.sender = Some(sender),
            Err(error) => {
                tracing::warn!(%error, "streams.io_uring: not available; using send instead");
            }
        }
    }

    fn run(&mut self) {
        let mut events = Events::with_capacity(EVENTS);
        // A panic in one iteration must not silence all streams of this thread. The work that is
        // left is kept where it survives the iteration.
        while catch_unwind(AssertUnwindSafe(|| self.iterate(&mut events))).unwrap_or(true) {}
    }

    /// One iteration. Whether there is to be another.
    fn iterate(&mut self, events: &mut Events) -> bool {
        let wait = if self.fan_outs.is_empty() { self.checks.wait() } else { Duration::ZERO };
        if let Err(error) = self.poll.poll(events, Some(wait))
            && error.kind() != io::ErrorKind::Interrupted
        {
            tracing::error!(%error, "a reactor cannot wait for its sockets");
        }
        for event in events.iter().filter(|event| event.token() != WAKER) {
            // Keys of removed streams are used again only after this loop, so the event is of the
            // stream that has the key.
            if let Some(stream) = self.reactor.stream(event.token().0) {
                handle_event(&stream, event);
            }
        }
        self.take_inbox();
        while let Some(token) = self.closed.pop() {
            self.reactor.remove(token.0);
        }
        if self.is_to_stop {
            let keys: Vec<usize> = self.reactor.streams().iter().map(|(key, _)| key).collect();
            for key in keys {
                self.reactor.remove(key);
            }
            return false;
        }
        self.write_slices();
        self.checks.run(&self.reactor.handle);
        true
    }

    fn take_inbox(&mut self) {
        let inbox = self.reactor.handle.take_inbox();
        self.closed.extend(inbox.closed);
        self.is_to_stop |= inbox.stop;
        for topic in inbox.moved {
            let running = self.begin(topic);
            self.fan_outs.push_back(running);
        }
        if let Some(by) = inbox.check_by {
            self.checks.check_by(by);
        }
    }

    fn begin(&self, topic: Arc<dyn FanOut>) -> Running {
        let (from, left) = (topic.head(), topic.shard_len(self.reactor.handle.index()));
        Running { topic, from, left }
    }

    /// Advances every fan-out by a slice, so that none holds up another.
    fn write_slices(&mut self) {
        let handle = Arc::clone(&self.reactor.handle);
        for _ in 0..self.fan_outs.len() {
            let Some(running) = self.fan_outs.front_mut() else { return };
            // Before anything is written: if that panics, the fan-out continues behind it.
            let (topic, to) = (Arc::clone(&running.topic), running.left);
            running.left = to.saturating_sub(SLICE);
            let from = running.left;
            topic.write((from, to), &handle, &mut self.sender);
            let Some(running) = self.fan_outs.pop_front() else { return };
            if running.left > 0 {
                self.fan_outs.push_back(running);
            } else if topic.finish(handle.index(), running.from) {
                let again = self.begin(topic);
                self.fan_outs.push_back(again);
            }
        }
    }
}

/// Something has happened on a stream's socket.
fn handle_event(stream: &Attached, event: &Event) {
    let Attached { subscriber, subscribers } = stream;
    let closed = event.is_read_closed() || event.is_write_closed() || event.is_error();
    if closed || event.is_readable() && !subscriber.drain() {
        subscriber.close();
    } else if event.is_writable() {
        subscribers.try_again(subscriber);
    }
}
