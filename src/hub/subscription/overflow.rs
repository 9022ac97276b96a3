//! Overflow: a subscriber is slower than its topic.
//!
//! All subscribers share the ring; nothing is queued for one of them. So a subscriber is too slow
//! when it has not yet taken what it was given and the ring passes its position. A subscriber that
//! resumes in the past is not slow. Nor is one that had everything when more events came at once
//! than the ring holds. Both read the log.

use crate::{config::Overflow, event::Cursor};

/// Whether a subscriber keeps up. A number, because thousands of streams have one each. With
/// `drop_new` it counts the events that the subscriber can still get: those that waited in the ring
/// when it was full.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Lag(u32);

/// The consequence for a subscriber whose position the ring has passed.
pub enum Action {
    /// Read the missed events from the log.
    ReadLog,
    /// End the stream.
    Close,
    /// Resume after this event and announce how many were dropped.
    SkipTo(Cursor),
}

impl Lag {
    /// The subscriber has everything, or resumes in the past.
    pub const NONE: Self = Self(u32::MAX);
    /// The subscriber was given something, and it is not known yet whether it took that.
    pub const SOME: Self = Self(u32::MAX - 1);

    /// Events that the subscriber can still get, if they are counted.
    pub fn left(self) -> Option<u32> {
        (self.0 < Self::SOME.0).then_some(self.0)
    }

    /// The lag after so many events were given.
    pub fn after(self, count: u64) -> Self {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.left().map_or(self, |left| Self(left.saturating_sub(count)))
    }

    /// The ring has passed the position of a subscriber that lags. It can resume after either of
    /// the two events, and the ring holds `capacity` events.
    pub fn overflow(
        &mut self,
        strategy: Overflow,
        (oldest, newest): (Cursor, Cursor),
        capacity: usize,
    ) -> Action {
        match strategy {
            Overflow::CatchUp => Action::ReadLog,
            Overflow::CloseConnection => Action::Close,
            Overflow::DropOldest => Action::SkipTo(oldest),
            // The log gives the events that waited. Those that came when the ring was full are
            // dropped.
            Overflow::DropNew if *self == Self(0) => Action::SkipTo(newest),
            Overflow::DropNew => {
                if *self == Self::SOME {
                    // The configuration allows a million.
                    *self = Self(u32::try_from(capacity).unwrap_or(u32::MAX / 2));
                }
                Action::ReadLog
            }
        }
    }
}
