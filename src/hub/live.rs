//! A live topic: the ring of its newest frames, and who is to be told when it moves.
//!
//! A few subscribers are written to by whoever publishes: handing over to another thread costs
//! milliseconds where many topics are busy. Many are written to by the reactors that hold their
//! sockets, each its own, while the publisher goes on.

use std::sync::{
    Arc, Mutex, MutexGuard, OnceLock, PoisonError,
    atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicUsize, Ordering},
};

use parking_lot::{FairMutex, FairMutexGuard};
use prometheus_client::metrics::counter::Counter;
use tokio::sync::Notify;

use super::{
    audience::{Part, Walker},
    frame::Frame,
    open::{Shown, Subject},
    outlet::Outlet,
    reactor::{Reactor, Reactors},
    ring::{Known, Place, Pulled, Ring},
    send::{BATCH, Sender},
};
use crate::{
    event::{Cursor, Topic},
    event_log::Stale,
};

/// Up to this many subscribers are written to by the publisher.
const FEW: usize = 8;

/// Streams that are written to before others may have the audience: some 0.1 ms.
const GROUP: usize = 16;

/// Nobody reads the log for this ring. Between this and [`ASKED`], at 1, somebody does.
const IDLE: u8 = 0;
/// The log has to be read, for the first time or once more.
const ASKED: u8 = 2;

/// Whether a push left something missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    /// The ring has everything that it was told of.
    Whole,
    /// A number was skipped, or was another event's: the log has to be read.
    Gap,
}

/// A topic with at least one subscriber.
pub(super) struct Live {
    topic: Topic,
    ring: Mutex<Ring>,
    fill: AtomicU8,
    /// Fair, because a walk through it takes it again and again.
    audience: FairMutex<Box<[Part]>>,
    rounds: Box<[Round]>,
    reactors: Arc<Reactors>,
    /// Told when a round has come to its end.
    progress: Notify,
    /// What the topic is about, told by the first who opened a stream of it.
    pub(super) subject: OnceLock<Subject>,
    /// The newest snapshot, and the right to read the next one.
    pub(super) shown: tokio::sync::Mutex<Option<Shown>>,
    /// Counts events handed to subscribers.
    pub(super) delivered: Counter,
}

/// One reactor's way through its part of the audience.
struct Round {
    /// How many streams are in it.
    size: AtomicUsize,
    /// The reactor knows that there is something to write.
    due: AtomicBool,
    /// Up to where all who can take it have been written to.
    reached: AtomicI64,
}

impl Live {
    pub(super) fn new(
        topic: Topic,
        capacity: usize,
        reactors: &Arc<Reactors>,
        delivered: Counter,
    ) -> Self {
        let count = reactors.count();
        let round = || Round {
            size: AtomicUsize::new(0),
            due: AtomicBool::new(false),
            reached: AtomicI64::new(0),
        };
        Self {
            topic,
            ring: Mutex::new(Ring::new(capacity)),
            fill: AtomicU8::new(IDLE),
            audience: FairMutex::new(std::iter::repeat_with(Part::default).take(count).collect()),
            rounds: std::iter::repeat_with(round).take(count).collect(),
            reactors: Arc::clone(reactors),
            progress: Notify::new(),
            subject: OnceLock::new(),
            shown: tokio::sync::Mutex::default(),
            delivered,
        }
    }

    pub(super) fn topic(&self) -> &Topic {
        &self.topic
    }

    /// The place of a subscriber that has everything, once the log was looked at.
    pub(super) fn head(&self) -> Option<Place> {
        self.ring().head()
    }

    /// See [`Known`].
    pub(super) fn known(&self) -> Option<Known> {
        self.ring().known()
    }

    /// Whether the ring holds the last event there will ever be.
    pub(super) fn is_over(&self) -> bool {
        self.ring().is_over()
    }

    /// See [`Ring::lost`].
    pub(super) fn lost(&self) -> Stale {
        self.ring().lost()
    }

    /// See [`Ring::find`].
    pub(super) fn find(&self, cursor: Cursor) -> Option<Place> {
        self.ring().find(cursor)
    }

    /// See [`Ring::admit`].
    pub(super) fn admit(&self, history: u32, cursor: Cursor) -> Option<Place> {
        self.ring().admit(history, cursor)
    }

    /// See [`Ring::agrees`].
    pub(super) fn agrees(&self, known: Option<Known>, head: Cursor) -> bool {
        self.ring().agrees(known, head)
    }

    /// Begins another history, see [`Ring::begin`]. Whether something came before this and left a
    /// gap.
    pub(super) fn begin(
        self: &Arc<Self>,
        old: u32,
        (head, is_over): (Cursor, bool),
        lost: Stale,
    ) -> Pushed {
        let (moved, gap) = {
            let mut ring = self.ring();
            (ring.begin(old, head, is_over, lost), ring.has_gap())
        };
        if moved {
            self.tell();
        }
        if gap { Pushed::Gap } else { Pushed::Whole }
    }

    /// Takes frames with their epochs, in any order, known ones too, and sends them on their way.
    pub(super) fn push(self: &Arc<Self>, frames: impl Iterator<Item = (i64, Frame)>) -> Pushed {
        let (moved, gap) = {
            let mut ring = self.ring();
            let before = ring.head();
            frames.for_each(|(epoch, frame)| ring.push(epoch, frame));
            (ring.head() != before, ring.has_gap())
        };
        if moved {
            self.tell();
        }
        if gap { Pushed::Gap } else { Pushed::Whole }
    }

    /// See [`Ring::passed`].
    pub(super) fn passed(&self, place: Place) -> Option<(Cursor, Cursor)> {
        self.ring().passed(place)
    }

    /// At most `most` frames after `place`.
    pub(super) fn pull(&self, place: Place, most: u64) -> Pulled {
        self.ring().pull(place, most)
    }

    /// The ring has moved: writes to a few, has many written to.
    fn tell(self: &Arc<Self>) {
        // Without a lock that a walk may hold.
        let sizes = || self.rounds.iter().map(|round| round.size.load(Ordering::Acquire));
        if sizes().sum::<usize>() <= FEW {
            let few: Vec<Arc<Outlet>> =
                self.audience().iter_mut().flat_map(Part::settled).collect();
            few.iter().for_each(Outlet::moved);
            return;
        }
        for (reactor, (size, round)) in sizes().zip(&self.rounds).enumerate() {
            if size > 0 && !round.due.swap(true, Ordering::AcqRel) {
                self.reactors.go_round(reactor, Arc::clone(self));
            }
        }
    }

    /// Whether whoever publishes next should wait: some reactor has not yet come to what the ring
    /// will soon have forgotten, and its subscribers, though they read, would all need the log.
    pub(super) fn is_crowded(&self) -> bool {
        let slowest = self
            .rounds
            .iter()
            .filter(|round| round.due.load(Ordering::Acquire))
            .map(|round| round.reached.load(Ordering::Acquire))
            .min();
        slowest.is_some_and(|reached| self.ring().is_short_for(reached))
    }

    /// Waits until it is not crowded.
    pub(super) async fn room(&self) {
        while self.is_crowded() {
            let progress = self.progress.notified();
            if self.is_crowded() {
                progress.await;
            }
        }
    }

    /// Takes in an open stream.
    pub(super) fn add(self: &Arc<Self>, outlet: &Arc<Outlet>) {
        let mut audience = self.audience();
        let part = &mut audience[outlet.reactor.index()];
        if part.len() == 0 {
            part.key = outlet.reactor.follow(Arc::clone(self));
        }
        let place = part.push(Arc::clone(outlet));
        // There are fewer descriptors than that.
        outlet.place.store(u32::try_from(place).unwrap_or(u32::MAX), Ordering::Relaxed);
        // Set before the stream looks for what it has missed: a publisher that still sees the old
        // size has moved the ring before.
        self.rounds[outlet.reactor.index()].size.store(part.len(), Ordering::Release);
    }

    /// Lets one go. Only its reactor may, which walks backwards through its part: who takes the
    /// place of the one that goes has been written to already.
    pub(super) fn remove(&self, outlet: &Outlet) {
        let mut audience = self.audience();
        let part = &mut audience[outlet.reactor.index()];
        let place = outlet.place.load(Ordering::Relaxed);
        if let Some(moved) = part.remove(place as usize) {
            moved.place.store(place, Ordering::Relaxed);
        }
        if part.len() == 0 {
            outlet.reactor.unfollow(part.key);
        }
        self.rounds[outlet.reactor.index()].size.store(part.len(), Ordering::Release);
    }

    /// How many streams of this topic the reactor holds.
    pub(super) fn part_size(&self, reactor: usize) -> usize {
        self.rounds[reactor].size.load(Ordering::Acquire)
    }

    /// The streams from `from` up to `to` of the reactor's part that have to be looked at on a tick,
    /// or all of them.
    pub(super) fn to_look_at(
        &self,
        reactor: usize,
        (from, to): (usize, usize),
        tick: u32,
        is_all: bool,
    ) -> Vec<Arc<Outlet>> {
        self.audience()[reactor].to_look_at(from, to, tick, is_all)
    }

    /// Settles a stream before something else than a walk is done with it.
    pub(super) fn settle(&self, outlet: &Outlet) {
        let place = outlet.place.load(Ordering::Relaxed) as usize;
        self.audience()[outlet.reactor.index()].settle(place, outlet);
    }

    /// Writes what is new to the streams from `from` up to `to` of the reactor's part. In between
    /// whoever else waits for the audience comes first.
    pub(super) fn write(
        &self,
        outlets: (usize, usize),
        reactor: &Reactor,
        sender: &mut Option<Sender>,
    ) {
        let (mut from, to) = outlets;
        let group = if sender.is_some() { BATCH } else { GROUP };
        let mut walker = Walker { live: self, sender, tick: reactor.tick() };
        let mut audience = self.audience();
        while from < to {
            // Who came in the meantime stands at the end and has what there is. Nobody has gone.
            let next = to.min(from + group);
            audience[reactor.index()].write(from, next, &mut walker);
            from = next;
            FairMutexGuard::bump(&mut audience);
        }
    }

    /// The reactor has been round, having begun when the ring stood at `from`. Whether it has to go
    /// round again.
    pub(super) fn been_round(&self, reactor: usize, from: Option<Place>) -> bool {
        let round = &self.rounds[reactor];
        round.reached.store(from.map_or(0, |place| place.seq), Ordering::Release);
        // An exchange, so that a publisher who found it set has moved the ring before this looks.
        round.due.swap(false, Ordering::AcqRel);
        let again = self.head() != from && !round.due.swap(true, Ordering::AcqRel);
        self.progress.notify_waiters();
        again
    }

    /// Whether the caller is the one to fill; if not, the one who does will look again.
    pub(super) fn begin_fill(&self) -> bool {
        self.fill.swap(ASKED, Ordering::AcqRel) == IDLE
    }

    /// Whether somebody has asked since the filler last looked; otherwise filling has ended.
    pub(super) fn fill_again(&self) -> bool {
        self.fill
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |state| state.checked_sub(1))
            .is_ok_and(|state| state == ASKED)
    }

    pub(super) fn give_up_fill(&self) {
        self.fill.store(IDLE, Ordering::Release);
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        // A ring left half changed by a panic has at worst lost its newest frame, and the log
        // gives that back.
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn audience(&self) -> FairMutexGuard<'_, Box<[Part]>> {
        self.audience.lock()
    }
}
