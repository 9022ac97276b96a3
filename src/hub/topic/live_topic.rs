//! A topic that has open streams: the ring of its newest frames, and what its streams share.

use std::sync::{
    Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
    atomic::{AtomicU8, Ordering},
};

use prometheus_client::metrics::counter::Counter;

use super::{
    frame::Frame,
    ring::{Known, Position, Pulled, Ring},
    snapshot::{SnapshotFrame, Subject},
};
use crate::{
    event::{Cursor, Topic},
    event_log::Stale,
    hub::context::Context,
};

/// No task reads the log for this ring. Between this and [`REQUESTED`], at 1, one does.
const IDLE: u8 = 0;
/// The log has to be read, for the first time or again.
const REQUESTED: u8 = 2;

/// Is told what happens to a live topic.
pub trait Observer: Send + Sync {
    /// The ring has moved: it holds something new, or began another history.
    fn moved(self: Arc<Self>);

    /// One of the topic's streams has released what it held.
    fn released(&self);
}

/// Whether a push left something missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// The ring has everything that it was told of.
    Whole,
    /// A number was skipped, or belonged to another event: the log has to be read.
    Gap,
}

/// A topic that has open streams.
pub struct LiveTopic {
    name: Topic,
    context: Arc<Context>,
    /// Owns this topic.
    observer: Weak<dyn Observer>,
    ring: Mutex<Ring>,
    fill: AtomicU8,
    /// Set by the first stream of the topic.
    subject: OnceLock<Subject>,
    /// The newest snapshot. The lock is also the right to read the next one.
    pub(super) snapshot: tokio::sync::Mutex<Option<SnapshotFrame>>,
    /// Counts events that were given to subscribers.
    pub delivered: Counter,
}

impl LiveTopic {
    /// A topic whose log was not read yet.
    pub fn new(name: Topic, context: &Arc<Context>, observer: Weak<dyn Observer>) -> Self {
        Self {
            ring: Mutex::new(Ring::new(context.settings.buffer_events)),
            fill: AtomicU8::new(IDLE),
            subject: OnceLock::new(),
            snapshot: tokio::sync::Mutex::default(),
            delivered: context.telemetry.delivered(name.family().name()),
            name,
            context: Arc::clone(context),
            observer,
        }
    }

    /// Its name.
    pub fn name(&self) -> &Topic {
        &self.name
    }

    /// The family's name, as metrics have it.
    pub fn family(&self) -> &'static str {
        self.name.family().name()
    }

    /// The state that all parts of the hub share.
    pub fn context(&self) -> &Arc<Context> {
        &self.context
    }

    /// Sets the properties that its streams share, unless an earlier stream did.
    pub fn set_subject(&self, subject: &Subject) {
        self.subject.get_or_init(|| subject.clone());
    }

    /// The properties that its streams share.
    pub fn subject(&self) -> Option<&Subject> {
        self.subject.get()
    }

    /// One of its streams has released what it held.
    pub fn release(&self) {
        if let Some(observer) = self.observer.upgrade() {
            observer.released();
        }
    }

    /// The position of a subscription that has everything, once the log was read.
    pub fn head(&self) -> Option<Position> {
        self.ring().head()
    }

    /// See [`Known`].
    pub fn known(&self) -> Option<Known> {
        self.ring().known()
    }

    /// Whether the ring holds the last event that there will ever be.
    pub fn is_over(&self) -> bool {
        self.ring().is_over()
    }

    /// See [`Ring::lost`].
    pub fn lost(&self) -> Stale {
        self.ring().lost()
    }

    /// See [`Ring::find`].
    pub fn find(&self, cursor: Cursor) -> Option<Position> {
        self.ring().find(cursor)
    }

    /// See [`Ring::admit`].
    pub fn admit(&self, history: u32, cursor: Cursor) -> Option<Position> {
        self.ring().admit(history, cursor)
    }

    /// See [`Ring::agrees`].
    pub fn agrees(&self, known: Option<Known>, head: Cursor) -> bool {
        self.ring().agrees(known, head)
    }

    /// See [`Ring::passed`].
    pub fn passed(&self, position: Position) -> Option<(Cursor, Cursor)> {
        self.ring().passed(position)
    }

    /// See [`Ring::is_short_for`].
    pub fn is_short_for(&self, seq: i64) -> bool {
        self.ring().is_short_for(seq)
    }

    /// See [`Ring::pull`].
    pub fn pull(&self, position: Position, most: u64) -> Pulled {
        self.ring().pull(position, most)
    }

    /// Begins another history, see [`Ring::begin`]. Reports a gap if frames that came before this
    /// left one.
    pub fn begin(&self, old: u32, (head, is_over): (Cursor, bool), lost: Stale) -> Pushed {
        let (moved, gap) = {
            let mut ring = self.ring();
            (ring.begin(old, head, is_over, lost), ring.has_gap())
        };
        self.pushed(moved, gap)
    }

    /// Takes frames with their epochs, in any order, known ones too, and tells the observer.
    pub fn push(&self, frames: impl Iterator<Item = (i64, Frame)>) -> Pushed {
        let (moved, gap) = {
            let mut ring = self.ring();
            let before = ring.head();
            frames.for_each(|(epoch, frame)| ring.push(epoch, frame));
            (ring.head() != before, ring.has_gap())
        };
        self.pushed(moved, gap)
    }

    fn pushed(&self, moved: bool, gap: bool) -> Pushed {
        if moved && let Some(observer) = self.observer.upgrade() {
            observer.moved();
        }
        if gap { Pushed::Gap } else { Pushed::Whole }
    }

    /// Requests that the log is read for the ring. Whether the caller has to read it: if not, the
    /// task that reads it already looks again.
    pub(super) fn begin_fill(&self) -> bool {
        self.fill.swap(REQUESTED, Ordering::AcqRel) == IDLE
    }

    /// Whether a request came since the reading task last looked. Otherwise filling has ended.
    pub(super) fn fill_again(&self) -> bool {
        self.fill
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |state| state.checked_sub(1))
            .is_ok_and(|state| state == REQUESTED)
    }

    /// Ends filling early.
    pub(super) fn give_up_fill(&self) {
        self.fill.store(IDLE, Ordering::Release);
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        // A ring left half changed by a panic has at worst lost its newest frame, and the log
        // gives that back.
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
