//! All subscribers of one live topic.
//!
//! If they are few, the task that delivers an event writes to them itself. Waking another thread costs milliseconds
//! when many topics are busy. If they are many, each reactor writes to those whose sockets it holds, and the delivery
//! continues.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, MutexGuard, Weak,
        atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering},
    },
    time::Instant,
};

use parking_lot::{FairMutex, FairMutexGuard};
use tokio::sync::Notify;
use uuid::Uuid;

use super::{
    handle::{FanOut, ReactorHandle},
    send::{BATCH, Sender},
    shard::{Shard, Writer},
    subscriber::{State, Subscriber},
};
use crate::{
    event::Topic,
    hub::{
        context::Context,
        subscription::{CheckTime, End, OpenConnection},
        topic::{LiveTopic, Observer, Position, TopicTable},
    },
};

/// Maximum number of subscribers that the task that delivers an event writes to itself.
const MAX_WITHOUT_REACTORS: usize = 8;

/// Number of streams that are written to before another thread can lock the shard: about 0.1 ms.
const GROUP: usize = 16;

/// All subscribers of one live topic.
pub struct Subscribers {
    topic: Arc<LiveTopic>,
    /// The table that contains this value.
    table: Arc<TopicTable<Self>>,
    reactors: Arc<[Arc<ReactorHandle>]>,
    /// The shards by the index of their reactor. Each has its own lock, so that reactors write at the same time. The lock
    /// is fair, because a fan-out locks it again and again.
    shards: Box<[FairMutex<Shard>]>,
    progress: Box<[Progress]>,
    /// Notified when a reactor has written to its whole shard.
    finished: Notify,
}

/// One reactor's progress through its shard.
struct Progress {
    /// Number of subscribers in the shard.
    len: AtomicUsize,
    /// Whether the reactor has been told to write to the shard, and has not finished.
    is_requested: AtomicBool,
    /// Number of the event up to which the reactor has written to every subscriber whose socket accepts bytes.
    reached: AtomicI64,
}

impl Progress {
    fn new() -> Self {
        Self {
            len: AtomicUsize::new(0),
            is_requested: AtomicBool::new(false),
            reached: AtomicI64::new(0),
        }
    }
}

impl Subscribers {
    /// Creates a live topic without subscribers.
    pub fn new(
        topic: &Topic,
        context: &Arc<Context>,
        table: &Arc<TopicTable<Self>>,
        reactors: &Arc<[Arc<ReactorHandle>]>,
    ) -> Arc<Self> {
        Arc::new_cyclic(|this: &Weak<Self>| Self {
            topic: Arc::new(LiveTopic::new(topic.clone(), context, this.clone())),
            table: Arc::clone(table),
            reactors: Arc::clone(reactors),
            shards: reactors.iter().map(|_| FairMutex::default()).collect(),
            progress: reactors.iter().map(|_| Progress::new()).collect(),
            finished: Notify::new(),
        })
    }

    /// The topic of these subscribers.
    pub fn topic(&self) -> &Arc<LiveTopic> {
        &self.topic
    }

    /// Whether the next publisher has to wait. This is so if a reactor has not yet written events that the ring will
    /// soon drop. Without the wait, all subscribers of that reactor would need the log, even those whose clients read
    /// fast.
    fn is_at_capacity(&self) -> bool {
        let slowest = self
            .progress
            .iter()
            .filter(|progress| progress.is_requested.load(Ordering::Acquire))
            .map(|progress| progress.reached.load(Ordering::Acquire))
            .min();
        slowest.is_some_and(|reached| self.topic.drops_soon_after(reached))
    }

    /// Waits until the reactors can keep up with another event.
    pub async fn wait_for_capacity(&self) {
        while self.is_at_capacity() {
            let finished = self.finished.notified();
            if self.is_at_capacity() {
                finished.await;
            }
        }
    }

    /// Adds an open stream.
    pub fn add(self: &Arc<Self>, subscriber: &Arc<Subscriber>) {
        let reactor = subscriber.reactor();
        let mut shard = self.shard(reactor);
        if shard.len() == 0 {
            shard.key = reactor.add_topic(Arc::clone(self) as Arc<dyn FanOut>);
        }
        let index = shard.push(Arc::clone(subscriber));
        // A process has fewer file descriptors than `u32::MAX`.
        subscriber.index.store(u32::try_from(index).unwrap_or(u32::MAX), Ordering::Relaxed);
        // Set before the stream reads the ring. A delivery that still sees the old length has already moved the ring,
        // so the stream finds the event there.
        self.progress[reactor.index()].len.store(shard.len(), Ordering::Release);
    }

    /// Removes a subscriber. Only its reactor may call this. The reactor writes to its shard from the last index to the
    /// first. So the subscriber that moves to the free index was already written to.
    pub fn remove(&self, subscriber: &Subscriber) {
        subscriber.removed();
        let reactor = subscriber.reactor();
        let mut shard = self.shard(reactor);
        let index = subscriber.index.load(Ordering::Relaxed);
        if let Some(moved) = shard.remove(index as usize) {
            moved.index.store(index, Ordering::Relaxed);
        }
        if shard.len() == 0 {
            reactor.remove_topic(shard.key);
        }
        self.progress[reactor.index()].len.store(shard.len(), Ordering::Release);
    }

    /// Ends direct mode, and returns the state of a subscriber.
    fn lock_after_sync<'a>(&self, subscriber: &'a Subscriber) -> MutexGuard<'a, State> {
        loop {
            let state = subscriber.state();
            if !state.is_direct() {
                return state;
            }
            drop(state);
            let index = subscriber.index.load(Ordering::Relaxed) as usize;
            self.shard(subscriber.reactor()).sync_back(index, subscriber);
        }
    }

    /// Starts to write to a subscriber. Also applies changes of the topic and of the login session since the stream was
    /// opened.
    pub fn start(&self, subscriber: &Arc<Subscriber>) {
        let now = subscriber.reactor().now();
        subscriber.check(&mut self.lock_after_sync(subscriber), &now);
        if let Some(by) = subscriber.check_by(&now) {
            subscriber.reactor().check_by(by);
        }
    }

    /// Writes to a subscriber after the reactor was told that its socket accepts bytes again.
    pub fn on_writable(&self, subscriber: &Arc<Subscriber>) {
        subscriber.on_writable(&mut self.lock_after_sync(subscriber));
    }

    /// Ends a stream for an external reason.
    pub fn end_with(&self, subscriber: &Arc<Subscriber>, end: End) {
        subscriber.end_with(&mut self.lock_after_sync(subscriber), end);
        // The time to send the end is limited.
        if let Some(by) = subscriber.check_by(&subscriber.reactor().now()) {
            subscriber.reactor().check_by(by);
        }
    }

    /// Adds a stream to the list if it is open and belongs to `user`. Every open stream belongs to `None`.
    pub fn report(
        &self,
        subscriber: &Subscriber,
        user: Option<Uuid>,
        list: &mut BTreeMap<Uuid, OpenConnection>,
    ) {
        // Other streams stay in direct mode.
        if subscriber.belongs_to(user) {
            self.lock_after_sync(subscriber).report(list);
        }
    }

    /// Locks the shard of a reactor.
    fn shard(&self, reactor: &ReactorHandle) -> FairMutexGuard<'_, Shard> {
        self.shards[reactor.index()].lock()
    }
}

impl Observer for Subscribers {
    /// Writes to the subscribers if they are few. Otherwise requests that the reactors write.
    fn topic_changed(self: Arc<Self>) {
        // Read without the lock, because a fan-out may hold it.
        let lens = || self.progress.iter().map(|progress| progress.len.load(Ordering::Acquire));
        if lens().sum::<usize>() <= MAX_WITHOUT_REACTORS {
            let mut few: Vec<Arc<Subscriber>> = Vec::with_capacity(MAX_WITHOUT_REACTORS);
            for (shard, _) in self.shards.iter().zip(lens()).filter(|(_, len)| *len > 0) {
                few.extend(shard.lock().sync_all_back());
            }
            few.iter().for_each(Subscriber::topic_changed);
            return;
        }
        for ((len, progress), reactor) in lens().zip(&self.progress).zip(&*self.reactors) {
            if len > 0 && !progress.is_requested.swap(true, Ordering::AcqRel) {
                reactor.fan_out(Arc::clone(&self) as Arc<dyn FanOut>);
            }
        }
    }

    fn released(&self) {
        self.table.release(self.topic.name());
    }
}

impl FanOut for Subscribers {
    fn head(&self) -> Option<Position> {
        self.topic.head()
    }

    fn shard_len(&self, reactor: usize) -> usize {
        self.progress[reactor].len.load(Ordering::Acquire)
    }

    fn write(
        &self,
        (mut from, to): (usize, usize),
        reactor: &ReactorHandle,
        sender: &mut Option<Sender>,
    ) {
        let group = if sender.is_some() { BATCH } else { GROUP };
        let mut writer = Writer { topic: &self.topic, sender, tick: reactor.tick() };
        let mut shard = self.shard(reactor);
        while from < to {
            // Subscribers that were added in the meantime are at the end, and have all events. `None` was removed.
            let next = to.min(from + group);
            shard.write(from, next, &mut writer);
            from = next;
            // Lets a thread that waits for the lock go first.
            FairMutexGuard::bump(&mut shard);
        }
    }

    fn finish(&self, reactor: usize, from: Option<Position>) -> bool {
        let progress = &self.progress[reactor];
        progress.reached.store(from.map_or(0, |position| position.seq), Ordering::Release);
        // `swap` and not `store`. A delivery that found the flag set has moved the ring before, and `swap` makes that
        // visible below.
        progress.is_requested.swap(false, Ordering::AcqRel);
        let again = self.head() != from && !progress.is_requested.swap(true, Ordering::AcqRel);
        self.finished.notify_waiters();
        again
    }

    fn check(
        &self,
        (from, to): (usize, usize),
        reactor: usize,
        now: &CheckTime,
        is_full: bool,
    ) -> Option<Instant> {
        let due = self.shards[reactor].lock().subscribers_to_check(from, to, now.tick, is_full);
        let check = |subscriber: &Arc<Subscriber>| {
            subscriber.check(&mut self.lock_after_sync(subscriber), now);
            subscriber.check_by(now)
        };
        due.iter().filter_map(check).min()
    }
}
