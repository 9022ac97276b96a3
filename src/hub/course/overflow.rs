//! What becomes of a subscriber that is slower than its topic.
//!
//! What waits for a subscriber is the ring, which all share. So a subscriber is too slow when the
//! ring has passed its cursor, and nothing is kept for it alone, whatever it asked for. Coming from
//! the past is not being slow: who resumes reads the log until it has the present once.

use serde_json::json;

use super::{Course, chunk};
use crate::{
    config::Overflow,
    event::{self, Cursor, block},
    hub::end::End,
};

/// How a subscriber stands to the present. A number, because thousands of streams have one each: with
/// `drop_new`, how many of the events it may still get that had a place when everything was full.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Lag(u32);

impl Lag {
    /// It has not had the present yet.
    pub(super) const PAST: Self = Self(u32::MAX);
    /// The ring had what it needed.
    pub(super) const NONE: Self = Self(u32::MAX - 1);

    fn room(self) -> Option<u32> {
        (self.0 < Self::NONE.0).then_some(self.0)
    }

    /// After so many events were given.
    pub(super) fn after(self, count: u64) -> Self {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.room().map_or(self, |room| Self(room.saturating_sub(count)))
    }
}

impl Course {
    /// The ring has passed the cursor. Whether there is something else to do about it than to read
    /// the log.
    pub(super) fn give_way(&mut self) -> bool {
        let Some((oldest, newest)) = self.passed_by() else { return false };
        match self.overflow {
            Overflow::CatchUp => false,
            Overflow::CloseConnection => {
                self.close(End::Overflow);
                true
            }
            Overflow::DropOldest => self.skip(oldest),
            // What was waiting is given, from the log; what came when there was no more room is not.
            Overflow::DropNew if self.lag == Lag(0) => self.skip(newest),
            Overflow::DropNew => {
                if self.lag == Lag::NONE {
                    // The configuration allows a million.
                    let all =
                        u32::try_from(self.hub.settings.buffer_events).unwrap_or(u32::MAX / 2);
                    self.lag = Lag(all);
                }
                false
            }
        }
    }

    /// Whether it is to be ended although it cannot be written to.
    pub(super) fn is_cut_off(&self) -> bool {
        self.overflow == Overflow::CloseConnection && self.passed_by().is_some()
    }

    /// How many events it may be given from the log.
    pub(in crate::hub) fn left_of_log(&self) -> u64 {
        self.lag.room().map_or(self.left, |room| self.left.min(room.into()))
    }

    /// Where the ring begins and ends, if that has passed it.
    fn passed_by(&self) -> Option<(Cursor, Cursor)> {
        let (oldest, newest) = self.live.reach()?;
        let is_passed = oldest.epoch == self.cursor.epoch && oldest.seq > self.cursor.seq;
        (self.lag != Lag::PAST && is_passed).then_some((oldest, newest))
    }

    /// Goes on behind this event. The announcement has its cursor: what was dropped stays dropped
    /// for a client that reconnects.
    fn skip(&mut self, to: Cursor) -> bool {
        let count = to.seq - self.cursor.seq;
        let data = event::json(&json!({ "count": count }));
        self.queue(&chunk(&block(Some(to), "stream.dropped", &data)));
        self.hub.telemetry.dropped(self.family(), count.unsigned_abs());
        self.cursor = to;
        self.lag = Lag::NONE;
        true
    }
}
