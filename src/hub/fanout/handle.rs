//! The handle of a reactor, through which other threads send it requests. The handle does not depend on subscribers: a
//! topic that has moved is a [`FanOut`] here.

use std::{
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use entity::Timestamp;
use mio::{Registry, Token, Waker};
use slab::Slab;

use super::send::Sender;
use crate::hub::{
    subscription::{CheckTime, TICKS_PER_HEARTBEAT},
    topic::Position,
};

/// The token of the waker. No stream has this token.
pub const WAKER: Token = Token(usize::MAX);

/// The work of a reactor for its shard of a topic's subscribers. A range contains their indexes, without its end.
pub trait FanOut: Send + Sync {
    /// The position of a subscriber that has all events. `None` before the log was read.
    fn head(&self) -> Option<Position>;

    /// Number of subscribers in the shard.
    fn shard_len(&self, reactor: usize) -> usize;

    /// Writes new events to a range of the shard.
    fn write(&self, range: (usize, usize), reactor: &ReactorHandle, sender: &mut Option<Sender>);

    /// Reports that the whole shard was written to. `from` is the ring's head at the start of that. Returns whether the
    /// shard has to be written to again.
    fn finish(&self, reactor: usize, from: Option<Position>) -> bool;

    /// Checks a range of the shard. A full check includes all subscribers. Any other check includes those that may have
    /// been silent for too long. Returns the latest time of the next check. `None` if the periodic checks are enough.
    fn check(
        &self,
        range: (usize, usize),
        reactor: usize,
        now: &CheckTime,
        is_full: bool,
    ) -> Option<Instant>;
}

/// The handle of a reactor, which all threads share.
pub struct ReactorHandle {
    index: usize,
    registry: Registry,
    waker: Waker,
    inbox: Mutex<Inbox>,
    /// The topics that have subscribers at this reactor, by key.
    topics: Mutex<Slab<Arc<dyn FanOut>>>,
    tick: AtomicU32,
    /// Time from one tick to the next.
    interval: Duration,
}

/// The requests of other threads to a reactor.
#[derive(Default)]
pub struct Inbox {
    /// Topics that have moved.
    pub moved: Vec<Arc<dyn FanOut>>,
    /// Tokens of the streams to remove.
    pub closed: Vec<Token>,
    /// Latest time of the next check of all streams. `None` if the periodic checks are enough.
    pub check_by: Option<Instant>,
    /// Whether the thread has to end.
    pub stop: bool,
}

impl Inbox {
    fn is_empty(&self) -> bool {
        let Self { moved, closed, check_by, stop } = self;
        moved.is_empty() && closed.is_empty() && check_by.is_none() && !stop
    }

    fn check_by(&mut self, by: Instant) {
        self.check_by = Some(self.check_by.map_or(by, |sooner| sooner.min(by)));
    }
}

impl ReactorHandle {
    /// Creates the handle of a reactor whose `Poll` has this registry.
    pub fn new(index: usize, registry: &Registry, heartbeat: Duration) -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            index,
            registry: registry.try_clone()?,
            waker: Waker::new(registry, WAKER)?,
            inbox: Mutex::default(),
            topics: Mutex::default(),
            tick: AtomicU32::new(0),
            interval: heartbeat / TICKS_PER_HEARTBEAT,
        }))
    }

    /// Index of the reactor, from 0.
    pub fn index(&self) -> usize {
        self.index
    }

    /// The registry for the sockets of the reactor.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Time from one tick to the next.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// The current tick. Increases [`TICKS_PER_HEARTBEAT`] times per heartbeat.
    pub fn tick(&self) -> u32 {
        self.tick.load(Ordering::Relaxed)
    }

    /// Begins the next tick and returns its number.
    pub fn next_tick(&self) -> u32 {
        self.tick.fetch_add(1, Ordering::Relaxed).wrapping_add(1)
    }

    /// The current time and tick, for a check of a stream.
    pub fn now(&self) -> CheckTime {
        let (instant, timestamp) = (Instant::now(), Timestamp::now());
        CheckTime { instant, timestamp, tick: self.tick() }
    }

    /// Requests a fan-out to the shard of a topic that has moved.
    pub fn fan_out(&self, topic: Arc<dyn FanOut>) {
        self.request(|inbox| inbox.moved.push(topic));
    }

    /// Requests the removal of a stream that has ended.
    pub fn remove(&self, token: Token) {
        self.request(|inbox| inbox.closed.push(token));
    }

    /// Requests a check of all streams at `by` at the latest. Does nothing if the next periodic check comes first.
    pub fn check_by(&self, by: Instant) {
        if by < Instant::now() + self.interval * TICKS_PER_HEARTBEAT {
            self.request(|inbox| inbox.check_by(by));
        }
    }

    /// Requests a check of all streams now.
    pub fn check_now(&self) {
        let now = Instant::now();
        self.request(|inbox| inbox.check_by(now));
    }

    /// Requests the end of the thread.
    pub fn stop(&self) {
        self.request(|inbox| inbox.stop = true);
    }

    /// Empties the inbox.
    pub fn take_inbox(&self) -> Inbox {
        std::mem::take(&mut *self.inbox.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds a topic that has subscribers at this reactor, and returns its key.
    pub fn add_topic(&self, topic: Arc<dyn FanOut>) -> usize {
        self.topics().insert(topic)
    }

    /// Removes a topic that no longer has subscribers at this reactor.
    pub fn remove_topic(&self, key: usize) {
        // The topic is dropped after the lock is released.
        let removed = self.topics().try_remove(key);
        drop(removed);
    }

    /// The topic with this key, or with the next higher key.
    pub fn topic_from(&self, key: usize) -> Option<(usize, Arc<dyn FanOut>)> {
        let topics = self.topics();
        (key..topics.capacity()).find_map(|key| Some((key, Arc::clone(topics.get(key)?))))
    }

    fn request(&self, write: impl FnOnce(&mut Inbox)) {
        let mut inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        let was_empty = inbox.is_empty();
        write(&mut inbox);
        drop(inbox);
        // If the inbox had requests, the reactor was already woken and has not emptied it yet.
        if was_empty && let Err(error) = self.waker.wake() {
            tracing::error!(%error, "cannot wake a reactor");
        }
    }

    fn topics(&self) -> MutexGuard<'_, Slab<Arc<dyn FanOut>>> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
