//! A topic that has open streams: the ring of its newest frames, and the state that its streams share.

use std::sync::{
    Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
    atomic::{AtomicU8, Ordering},
};

use prometheus_client::metrics::counter::Counter;

use super::{
    frame::Frame,
    ring::{KnownEvents, Position, Pulled, Ring},
    snapshot::{SnapshotFrame, TopicProperties},
};
use crate::{
    event::{Cursor, Topic},
    event_log::StaleCursor,
    hub::context::Context,
};

/// Value of `fill`: no task reads the log for this ring. The value 1 means that a task reads the log and has no further
/// request.
const IDLE: u8 = 0;
/// Value of `fill`: the log has to be read, for the first time or again.
const REQUESTED: u8 = 2;

/// Receives the changes of a live topic.
pub trait Observer: Send + Sync {
    /// The topic has moved: its ring got an event, or began another history.
    fn topic_changed(self: Arc<Self>);

    /// A stream of the topic has released what it held.
    fn released(&self);
}

/// Whether the ring has a gap after a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// No event is missing.
    Complete,
    /// A number was skipped, or belonged to another event. The log has to be read.
    Gap,
}

/// A topic that has open streams.
pub struct LiveTopic {
    name: Topic,
    context: Arc<Context>,
    /// Owns this topic, and receives its changes.
    observer: Weak<dyn Observer>,
    ring: Mutex<Ring>,
    fill: AtomicU8,
    /// Set by the first stream of the topic.
    properties: OnceLock<TopicProperties>,
    /// The newest snapshot. Only the holder of the lock reads the next one.
    pub(super) snapshot: tokio::sync::Mutex<Option<SnapshotFrame>>,
    /// Counts events that were written to subscribers.
    pub delivered: Counter,
}

impl LiveTopic {
    /// Creates a topic whose log was not read yet.
    pub fn new(name: Topic, context: &Arc<Context>, observer: Weak<dyn Observer>) -> Self {
        Self {
            ring: Mutex::new(Ring::new(context.settings.buffer_events)),
            fill: AtomicU8::new(IDLE),
            properties: OnceLock::new(),
            snapshot: tokio::sync::Mutex::default(),
            delivered: context.telemetry.delivered(name.family().name()),
            name,
            context: Arc::clone(context),
            observer,
        }
    }

    /// Name of the topic.
    pub fn name(&self) -> &Topic {
        &self.name
    }

    /// Name of the topic's family, as in metrics.
    pub fn family(&self) -> &'static str {
        self.name.family().name()
    }

    /// The state that all parts of the hub share.
    pub fn context(&self) -> &Arc<Context> {
        &self.context
    }

    /// Sets the properties that the topic's streams share. Later calls have no effect.
    pub fn set_properties(&self, properties: &TopicProperties) {
        self.properties.get_or_init(|| properties.clone());
    }

    /// The properties that the topic's streams share. `None` before the first stream sets them.
    pub fn properties(&self) -> Option<&TopicProperties> {
        self.properties.get()
    }

    /// Reports that a stream of the topic has released what it held.
    pub fn release(&self) {
        if let Some(observer) = self.observer.upgrade() {
            observer.released();
        }
    }

    /// See [`Ring::head`].
    pub fn head(&self) -> Option<Position> {
        self.ring().head()
    }

    /// See [`Ring::known`].
    pub fn known(&self) -> Option<KnownEvents> {
        self.ring().known()
    }

    /// See [`Ring::is_over`].
    pub fn is_over(&self) -> bool {
        self.ring().is_over()
    }

    /// See [`Ring::stale_reason`].
    pub fn stale_reason(&self) -> StaleCursor {
        self.ring().stale_reason()
    }

    /// See [`Ring::find`].
    pub fn find(&self, cursor: Cursor) -> Option<Position> {
        self.ring().find(cursor)
    }

    /// See [`Ring::accept_cursor`].
    pub fn accept_cursor(&self, history: u32, cursor: Cursor) -> Option<Position> {
        self.ring().accept_cursor(history, cursor)
    }

    /// See [`Ring::matches_log`].
    pub fn matches_log(&self, known: Option<KnownEvents>, head: Cursor) -> bool {
        self.ring().matches_log(known, head)
    }

    /// See [`Ring::skip_targets`].
    pub fn skip_targets(&self, position: Position) -> Option<(Cursor, Cursor)> {
        self.ring().skip_targets(position)
    }

    /// See [`Ring::drops_soon_after`].
    pub fn drops_soon_after(&self, seq: i64) -> bool {
        self.ring().drops_soon_after(seq)
    }

    /// See [`Ring::pull`].
    pub fn pull(&self, position: Position, most: u64) -> Pulled {
        self.ring().pull(position, most)
    }

    /// Begins another history, see [`Ring::begin`]. Returns [`Pushed::Gap`] if frames that arrived earlier leave a gap.
    pub fn begin(&self, old: u32, (head, is_over): (Cursor, bool), lost: StaleCursor) -> Pushed {
        let (moved, gap) = {
            let mut ring = self.ring();
            (ring.begin(old, head, is_over, lost), ring.has_gap())
        };
        self.notify_and_report(moved, gap)
    }

    /// Takes frames with their epochs, in any order, including known frames. Tells the observer if the topic has moved.
    pub fn push(&self, frames: impl Iterator<Item = (i64, Frame)>) -> Pushed {
        let (moved, gap) = {
            let mut ring = self.ring();
            let before = ring.head();
            frames.for_each(|(epoch, frame)| ring.push(epoch, frame));
            (ring.head() != before, ring.has_gap())
        };
        self.notify_and_report(moved, gap)
    }

    fn notify_and_report(&self, moved: bool, gap: bool) -> Pushed {
        if moved && let Some(observer) = self.observer.upgrade() {
            observer.topic_changed();
        }
        if gap { Pushed::Gap } else { Pushed::Complete }
    }

    /// Requests a read of the log for the ring. Returns whether the caller has to start the read. If not, the task that
    /// is already reading reads again.
    pub(super) fn begin_fill(&self) -> bool {
        self.fill.swap(REQUESTED, Ordering::AcqRel) == IDLE
    }

    /// Whether a request came since the reading task called this last. If not, the task has to end.
    pub(super) fn take_fill_request(&self) -> bool {
        self.fill
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |state| state.checked_sub(1))
            .is_ok_and(|state| state == REQUESTED)
    }

    /// Ends the reading task early, after an error.
    pub(super) fn abort_fill(&self) {
        self.fill.store(IDLE, Ordering::Release);
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        // After a panic in the middle of a change, the ring may lack its newest frame. The log still has that event.
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
