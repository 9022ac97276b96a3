//! The threads that hold the sockets of open streams.
//!
//! Each thread waits for events of its sockets. It writes to its shard of a topic that has moved, and checks its
//! streams periodically (`checks.rs`). A thread never waits for a client or for the database.

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

/// Maximum number of streams that one fan-out writes to before the reactor continues with other work: about 2 ms.
const SLICE: usize = 256;

/// Maximum number of socket events that one poll returns.
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
    streams: Mutex<Slab<AttachedStream>>,
}

/// An open stream, and all subscribers of its topic.
#[derive(Clone)]
pub struct AttachedStream {
    /// The stream.
    pub subscriber: Arc<Subscriber>,
    /// All subscribers of the stream's topic.
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

    /// The handles of all reactors, by index.
    pub fn handles(&self) -> &Arc<[Arc<ReactorHandle>]> {
        &self.handles
    }

    /// Adds a stream to the next reactor, in rotation.
    pub fn attach(
        &self,
        sink: Sink,
        subscription: Subscription,
        subscribers: &Arc<Subscribers>,
    ) -> Arc<Subscriber> {
        let next = self.next.fetch_add(1, Ordering::Relaxed) % self.all.len();
        self.all[next].insert(sink, subscription, subscribers)
    }

    /// Requests a check of all streams now, because some may have to end.
    pub fn check_now(&self) {
        self.handles.iter().for_each(|handle| handle.check_now());
    }

    /// All streams that are open now.
    pub fn streams(&self) -> Vec<AttachedStream> {
        let each = |reactor: &Arc<Reactor>| -> Vec<AttachedStream> {
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
        // A process has fewer file descriptors than `u32::MAX`.
        let key = u32::try_from(vacant.key()).unwrap_or(u32::MAX);
        let handle = Arc::clone(&self.handle);
        let subscriber = Arc::new(Subscriber::new(handle, key, sink, subscription));
        // Added before the reactor can see the stream and remove it.
        subscribers.add(&subscriber);
        let attached = Arc::clone(&subscriber);
        vacant
            .insert(AttachedStream { subscriber: attached, subscribers: Arc::clone(subscribers) });
        subscriber
    }

    fn remove(&self, key: usize) {
        // The lock is released before the stream is dropped.
        let removed = self.streams().try_remove(key);
        if let Some(AttachedStream { subscriber, subscribers }) = removed {
            subscribers.remove(&subscriber);
        }
    }

    fn stream(&self, key: usize) -> Option<AttachedStream> {
        self.streams().get(key).cloned()
    }

    fn streams(&self) -> MutexGuard<'_, Slab<AttachedStream>> {
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

/// A fan-out to one shard of a topic, from the last index to the first.
struct RunningFanOut {
    topic: Arc<dyn FanOut>,
    /// The ring's head at the start of the fan-out.
    from: Option<Position>,
    /// Number of indexes that are left to write to.
    left: usize,
}

/// The part of a reactor that only its thread uses.
struct Worker {
    reactor: Arc<Reactor>,
    poll: Poll,
    fan_outs: VecDeque<RunningFanOut>,
    closed: Vec<mio::Token>,
    is_to_stop: bool,
    sender: Option<Sender>,
    checks: Checks,
}

impl Worker {
    /// Creates the queue of io_uring. Must run in the reactor's thread, because only the thread that creates the queue
    /// may use it.
    fn use_io_uring(&mut self) {
        match Sender::new() {
            Ok(sender) => self.sender = Some(sender),
            Err(error) => {
                tracing::warn!(%error, "streams.io_uring: not available, using send instead");
            }
        }
    }

    fn run(&mut self) {
        let mut events = Events::with_capacity(EVENTS);
        // A panic in one iteration must not end all streams of this thread. The rest of the work is in `self`, so it
        // survives the panic.
        while catch_unwind(AssertUnwindSafe(|| self.iterate(&mut events))).unwrap_or(true) {}
    }

    /// Runs one iteration. Returns false if the thread has to end.
    fn iterate(&mut self, events: &mut Events) -> bool {
        let wait = if self.fan_outs.is_empty() { self.checks.wait() } else { Duration::ZERO };
        if let Err(error) = self.poll.poll(events, Some(wait))
            && error.kind() != io::ErrorKind::Interrupted
        {
            tracing::error!(%error, "a reactor cannot poll its sockets");
        }
        for event in events.iter().filter(|event| event.token() != WAKER) {
            // The key of a removed stream is used again only after this loop. So the event belongs to the stream that
            // has the key.
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

    fn begin(&self, topic: Arc<dyn FanOut>) -> RunningFanOut {
        let (from, left) = (topic.head(), topic.shard_len(self.reactor.handle.index()));
        RunningFanOut { topic, from, left }
    }

    /// Advances every fan-out by a slice, so that no fan-out delays another.
    fn write_slices(&mut self) {
        let handle = Arc::clone(&self.reactor.handle);
        for _ in 0..self.fan_outs.len() {
            let Some(running) = self.fan_outs.front_mut() else { return };
            // Set before anything is written: if the write panics, the fan-out continues after this slice.
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

/// Handles an event of a stream's socket.
fn handle_event(stream: &AttachedStream, event: &Event) {
    let AttachedStream { subscriber, subscribers } = stream;
    let closed = event.is_read_closed() || event.is_write_closed() || event.is_error();
    if closed || event.is_readable() && !subscriber.drain() {
        subscriber.close();
    } else if event.is_writable() {
        subscribers.on_writable(subscriber);
    }
}
