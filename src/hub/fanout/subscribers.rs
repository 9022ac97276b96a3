//! All subscribers of one live topic.
//!
//! The publisher itself writes to a few subscribers: handing over to another thread costs
//! milliseconds where many topics are busy. If there are many, each reactor writes to those whose
//! sockets it holds, while the publisher goes on.

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
        subscription::{End, Now, OpenConnection},
        topic::{LiveTopic, Observer, Position, TopicTable},
    },
};

/// The publisher writes to at most this many subscribers itself.
const FEW: usize = 8;

/// Streams that are written to before another thread gets the shards: some 0.1 ms.
const GROUP: usize = 16;

/// All subscribers of one live topic.
pub struct Subscribers {
    topic: Arc<LiveTopic>,
    /// The table that holds this.
    table: Arc<TopicTable<Self>>,
    reactors: Arc<[Arc<ReactorHandle>]>,
    /// Fair, because a fan-out takes it again and again.
    shards: FairMutex<Box<[Shard]>>,
    progress: Box<[Progress]>,
    /// Notified when a reactor has written to its whole shard.
    finished: Notify,
}

/// One reactor's progress through its shard.
struct Progress {
    /// Subscribers in the shard.
    len: AtomicUsize,
    /// The reactor knows that there is something to write.
    is_due: AtomicBool,
    /// Up to here, every subscriber whose socket takes bytes was written to.
    reached: AtomicI64,
}

impl Progress {
    fn new() -> Self {
        Self {
            len: AtomicUsize::new(0),
            is_due: AtomicBool::new(false),
            reached: AtomicI64::new(0),
        }
    }
}

impl Subscribers {
    /// A live topic without subscribers.
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
            shards: FairMutex::new(reactors.iter().map(|_| Shard::default()).collect()),
            progress: reactors.iter().map(|_| Progress::new()).collect(),
            finished: Notify::new(),
        })
    }

    /// Their topic.
    pub fn topic(&self) -> &Arc<LiveTopic> {
        &self.topic
    }

    /// Whether the next publisher has to wait: a reactor has not yet written what the ring will
    /// soon drop. Its subscribers, though they read, would all need the log.
    fn is_at_capacity(&self) -> bool {
        let slowest = self
            .progress
            .iter()
            .filter(|progress| progress.is_due.load(Ordering::Acquire))
            .map(|progress| progress.reached.load(Ordering::Acquire))
            .min();
        slowest.is_some_and(|reached| self.topic.is_short_for(reached))
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
        let mut shards = self.shards();
        let shard = &mut shards[reactor.index()];
        if shard.len() == 0 {
            shard.key = reactor.add_topic(Arc::clone(self) as Arc<dyn FanOut>);
        }
        let index = shard.push(Arc::clone(subscriber));
        // There are fewer file descriptors than that.
        subscriber.index.store(u32::try_from(index).unwrap_or(u32::MAX), Ordering::Relaxed);
        // Set before the stream looks for what it has missed: a publisher that still sees the old
        // length has moved the ring before.
        self.progress[reactor.index()].len.store(shard.len(), Ordering::Release);
    }

    /// Removes one. Only its reactor may call this. The reactor writes to its shard from the last
    /// index to the first, so the subscriber that takes the free index was written to already.
    pub fn remove(&self, subscriber: &Subscriber) {
        subscriber.removed();
        let reactor = subscriber.reactor();
        let mut shards = self.shards();
        let shard = &mut shards[reactor.index()];
        let index = subscriber.index.load(Ordering::Relaxed);
        if let Some(moved) = shard.remove(index as usize) {
            moved.index.store(index, Ordering::Relaxed);
        }
        if shard.len() == 0 {
            reactor.remove_topic(shard.key);
        }
        self.progress[reactor.index()].len.store(shard.len(), Ordering::Release);
    }

    /// The state of a subscriber that is not in direct mode, or is not any longer.
    fn synced<'a>(&self, subscriber: &'a Subscriber) -> MutexGuard<'a, State> {
        loop {
            let state = subscriber.state();
            if !state.is_direct() {
                return state;
            }
            drop(state);
            let index = subscriber.index.load(Ordering::Relaxed) as usize;
            self.shards()[subscriber.reactor().index()].sync_back(index, subscriber);
        }
    }

    /// Begins to write. Also applies what happened to the topic and to the login session since the
    /// stream was opened.
    pub fn start(&self, subscriber: &Arc<Subscriber>) {
        let now = subscriber.reactor().now();
        subscriber.check(&mut self.synced(subscriber), &now);
        if let Some(by) = subscriber.check_by(&now) {
            subscriber.reactor().check_by(by);
        }
    }

    /// The socket of a subscriber takes more, as far as the reactor was told.
    pub fn try_again(&self, subscriber: &Arc<Subscriber>) {
        subscriber.try_again(&mut self.synced(subscriber));
    }

    /// Ends a stream for a reason from outside.
    pub fn end_with(&self, subscriber: &Arc<Subscriber>, end: End) {
        subscriber.end_with(&mut self.synced(subscriber), end);
        // The stream has only so long to send its end.
        if let Some(by) = subscriber.check_by(&subscriber.reactor().now()) {
            subscriber.reactor().check_by(by);
        }
    }

    /// Adds a stream to the list if it is open and belongs to this user.
    pub fn report(
        &self,
        subscriber: &Subscriber,
        user: Option<Uuid>,
        list: &mut BTreeMap<Uuid, OpenConnection>,
    ) {
        // Other streams stay in direct mode.
        if subscriber.belongs_to(user) {
            self.synced(subscriber).report(list);
        }
    }

    fn shards(&self) -> FairMutexGuard<'_, Box<[Shard]>> {
        self.shards.lock()
    }
}

impl Observer for Subscribers {
    /// Writes to a few subscribers, has the reactors write to many.
    fn moved(self: Arc<Self>) {
        // Without the lock, which a fan-out may hold.
        let lens = || self.progress.iter().map(|progress| progress.len.load(Ordering::Acquire));
        if lens().sum::<usize>() <= FEW {
            let few: Vec<Arc<Subscriber>> =
                self.shards().iter_mut().flat_map(Shard::sync_all_back).collect();
            few.iter().for_each(Subscriber::moved);
            return;
        }
        for ((len, progress), reactor) in lens().zip(&self.progress).zip(&*self.reactors) {
            if len > 0 && !progress.is_due.swap(true, Ordering::AcqRel) {
                reactor.fan_out(Arc::clone(&self) as Arc<dyn FanOut>);
            }
        }
    }

    fn released(&self) {
        self.table.leave(self.topic.name());
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
        let mut shards = self.shards();
        while from < to {
            // Subscribers added meanwhile are at the end and have everything. None was removed.
            let next = to.min(from + group);
            shards[reactor.index()].write(from, next, &mut writer);
            from = next;
            // A thread that waits for the shards comes first.
            FairMutexGuard::bump(&mut shards);
        }
    }

    fn finish(&self, reactor: usize, from: Option<Position>) -> bool {
        let progress = &self.progress[reactor];
        progress.reached.store(from.map_or(0, |position| position.seq), Ordering::Release);
        // An exchange, so that a publisher that found it set has moved the ring before this looks.
        progress.is_due.swap(false, Ordering::AcqRel);
        let again = self.head() != from && !progress.is_due.swap(true, Ordering::AcqRel);
        self.finished.notify_waiters();
        again
    }

    fn check(
        &self,
        (from, to): (usize, usize),
        reactor: usize,
        now: &Now,
        is_full: bool,
    ) -> Option<Instant> {
        let due = self.shards()[reactor].to_check(from, to, now.tick, is_full);
        let check = |subscriber: &Arc<Subscriber>| {
            subscriber.check(&mut self.synced(subscriber), now);
            subscriber.check_by(now)
        };
        due.iter().filter_map(check).min()
    }
}
