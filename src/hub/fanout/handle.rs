//! The handle of a reactor, by which other threads reach it. It knows no subscriber: a topic that
//! has moved is a [`FanOut`] to it.

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
    subscription::{Now, TICKS},
    topic::Position,
};

/// The token of the waker itself.
pub const WAKER: Token = Token(usize::MAX);

/// The work of a reactor for its shard of a topic's subscribers. A range is of their indexes.
pub trait FanOut: Send + Sync {
    /// The position of a subscriber that has everything.
    fn head(&self) -> Option<Position>;

    /// Subscribers in the shard.
    fn shard_len(&self, reactor: usize) -> usize;

    /// Writes new events to a range of the shard.
    fn write(&self, range: (usize, usize), reactor: &ReactorHandle, sender: &mut Option<Sender>);

    /// The whole shard was written to. The ring stood at `from` when that began. Whether it has to
    /// be written to again.
    fn finish(&self, reactor: usize, from: Option<Position>) -> bool;

    /// Checks a range of the shard: all of it, or the subscribers that may have been silent for too
    /// long. Returns the time of the next check at the latest, if there is a reason for one.
    fn check(
        &self,
        range: (usize, usize),
        reactor: usize,
        now: &Now,
        is_full: bool,
    ) -> Option<Instant>;
}

/// The handle of a reactor.
pub struct ReactorHandle {
    index: usize,
    registry: Registry,
    waker: Waker,
    inbox: Mutex<Inbox>,
    /// The topics that have subscribers here.
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
    /// Streams to remove.
    pub closed: Vec<Token>,
    /// Time at which all streams are checked at the latest.
    pub check_by: Option<Instant>,
    /// The thread is to end.
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
    /// The handle of a reactor that waits with this registry's `Poll`.
    pub fn new(index: usize, registry: &Registry, heartbeat: Duration) -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            index,
            registry: registry.try_clone()?,
            waker: Waker::new(registry, WAKER)?,
            inbox: Mutex::default(),
            topics: Mutex::default(),
            tick: AtomicU32::new(0),
            interval: heartbeat / TICKS,
        }))
    }

    /// Its number among the reactors.
    pub fn index(&self) -> usize {
        self.index
    }

    /// The registry of its sockets.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Time from one tick to the next.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// Counts up, several times in a heartbeat.
    pub fn tick(&self) -> u32 {
        self.tick.load(Ordering::Relaxed)
    }

    /// Begins the next tick and returns its number.
    pub fn next_tick(&self) -> u32 {
        self.tick.fetch_add(1, Ordering::Relaxed).wrapping_add(1)
    }

    /// The present, for a check of a stream.
    pub fn now(&self) -> Now {
        let (instant, timestamp) = (Instant::now(), Timestamp::now());
        Now { instant, timestamp, tick: self.tick() }
    }

    /// A topic has moved.
    pub fn fan_out(&self, topic: Arc<dyn FanOut>) {
        self.request(|inbox| inbox.moved.push(topic));
    }

    /// A stream has ended and is to be removed.
    pub fn remove(&self, token: Token) {
        self.request(|inbox| inbox.closed.push(token));
    }

    /// A stream has to be checked by then, perhaps sooner than the next check of all streams.
    pub fn check_by(&self, by: Instant) {
        if by < Instant::now() + self.interval * TICKS {
            self.request(|inbox| inbox.check_by(by));
        }
    }

    /// All streams have to be checked now.
    pub fn check_now(&self) {
        let now = Instant::now();
        self.request(|inbox| inbox.check_by(now));
    }

    /// The thread is to end.
    pub fn stop(&self) {
        self.request(|inbox| inbox.stop = true);
    }

    /// Empties the inbox.
    pub fn take_inbox(&self) -> Inbox {
        std::mem::take(&mut *self.inbox.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds a topic that has subscribers here, and returns its key.
    pub fn add_topic(&self, topic: Arc<dyn FanOut>) -> usize {
        self.topics().insert(topic)
    }

    /// Removes a topic that has no subscribers here any longer.
    pub fn remove_topic(&self, key: usize) {
        // Dropped after the lock is released.
        let removed = self.topics().try_remove(key);
        drop(removed);
    }

    /// The topic that has this key, or the next one.
    pub fn topic_from(&self, key: usize) -> Option<(usize, Arc<dyn FanOut>)> {
        let topics = self.topics();
        (key..topics.capacity()).find_map(|key| Some((key, Arc::clone(topics.get(key)?))))
    }

    fn request(&self, write: impl FnOnce(&mut Inbox)) {
        let mut inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        let was_empty = inbox.is_empty();
        write(&mut inbox);
        drop(inbox);
        // Otherwise the reactor was woken already and has not emptied the inbox yet.
        if was_empty && let Err(error) = self.waker.wake() {
            tracing::error!(%error, "cannot wake a reactor");
        }
    }

    fn topics(&self) -> MutexGuard<'_, Slab<Arc<dyn FanOut>>> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
