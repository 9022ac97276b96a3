//! Overflow: a subscriber is slower than its topic.
//!
//! All subscribers share the ring, and no events are queued for a single subscriber. A subscriber is too slow if the
//! ring drops its next event before the subscriber has taken the events that it was given. A subscriber that resumes at
//! an old position is not slow. Neither is a subscriber that had all events when more events came at once than the ring
//! holds. Both read the log.

use crate::{config::Overflow, event::Cursor};

/// Whether a subscriber keeps up. This is a number to save memory, because thousands of streams have one each. With
/// `drop_new`, it counts the events that the subscriber still gets: those that were in the ring at the overflow.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Lag(u32);

/// The action for a subscriber after the ring has dropped its next event.
pub enum Action {
    /// Read the missed events from the log.
    ReadLog,
    /// End the stream.
    Close,
    /// Resume after this event, and announce the number of dropped events.
    SkipTo(Cursor),
}

impl Lag {
    /// The subscriber has all events, or resumes at an old position.
    pub const NONE: Self = Self(u32::MAX);
    /// The subscriber was given events, and may not have taken all of them.
    pub const SOME: Self = Self(u32::MAX - 1);

    /// Number of events that the subscriber still gets. `None` if they are not counted.
    pub fn events_before_drop(self) -> Option<u32> {
        (self.0 < Self::SOME.0).then_some(self.0)
    }

    /// The lag after the subscriber took `count` more events.
    pub fn after(self, count: u64) -> Self {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.events_before_drop().map_or(self, |left| Self(left.saturating_sub(count)))
    }

    /// Chooses the action for a subscriber that lags, after the ring has dropped its next event. The subscriber can
    /// resume after `oldest` or after `newest`. The ring holds `capacity` events.
    pub fn choose_action(
        &mut self,
        strategy: Overflow,
        (oldest, newest): (Cursor, Cursor),
        capacity: usize,
    ) -> Action {
        match strategy {
            Overflow::CatchUp => Action::ReadLog,
            Overflow::CloseConnection => Action::Close,
            Overflow::DropOldest => Action::SkipTo(oldest),
            // The subscriber has read the events that were in the ring at the overflow. The events that came later are
            // dropped.
            Overflow::DropNew if *self == Self(0) => Action::SkipTo(newest),
            Overflow::DropNew => {
                if *self == Self::SOME {
                    // The configuration allows at most a million.
                    *self = Self(u32::try_from(capacity).unwrap_or(u32::MAX / 2));
                }
                Action::ReadLog
            }
        }
    }
}
