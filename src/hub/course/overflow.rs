//! What becomes of a subscriber that is slower than its topic.
//!
//! What waits for a subscriber is the ring, which all share. So a subscriber is too slow when it has
//! not taken yet what it was given and the ring passes its cursor; nothing is kept for it alone,
//! whatever it asked for. Who comes from the past is not slow, nor is who had everything when more
//! came at once than the ring holds: they read the log.

use serde_json::json;

use super::{Course, chunk};
use crate::{
    config::Overflow,
    event::{self, Cursor, block},
    hub::end::End,
};

/// Whether a subscriber keeps up. A number, because thousands of streams have one each: with
/// `drop_new`, how many of the events it may still get that had a place when everything was full.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Lag(u32);

impl Lag {
    /// It has what there is, or comes from the past.
    pub(super) const NONE: Self = Self(u32::MAX);
    /// It was given something, and it is not known yet that it took it.
    pub(super) const SOME: Self = Self(u32::MAX - 1);

    fn room(self) -> Option<u32> {
        (self.0 < Self::SOME.0).then_some(self.0)
    }

    /// After so many events were given.
    pub(super) fn after(self, count: u64) -> Self {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.room().map_or(self, |room| Self(room.saturating_sub(count)))
    }
}

impl Course {
    /// The ring has passed the place. Whether there is something else to do about it than to read
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
                if self.lag == Lag::SOME {
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
        self.lag.room().map_or(self.left(), |room| self.left().min(room.into()))
    }

    /// Where it may go on, if it is too slow.
    fn passed_by(&self) -> Option<(Cursor, Cursor)> {
        if self.lag == Lag::NONE { None } else { self.live.passed(self.place) }
    }

    /// The socket did not take all of a frame.
    pub(in crate::hub) fn blocked(&mut self) {
        // What is ready, or comes from the log, says nothing about the present.
        if self.ready.is_empty() && self.fetched.is_none() && self.lag == Lag::NONE {
            self.lag = Lag::SOME;
        }
    }

    /// Goes on behind this event. The announcement has its cursor: what was dropped stays dropped
    /// for a client that reconnects.
    fn skip(&mut self, to: Cursor) -> bool {
        let count = to.seq - self.place.seq;
        let data = event::json(&json!({ "count": count }));
        self.queue(&chunk(&block(Some(to), "stream.dropped", &data)));
        self.hub.telemetry.dropped(self.family(), count.unsigned_abs());
        self.place.seq = to.seq;
        self.lag = Lag::SOME;
        true
    }
}
