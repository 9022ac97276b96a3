//! What a reactor does by the clock: it looks at all its streams now and then, ends those that have
//! to end and says something on those that were silent for too long.
//!
//! One clock for all, because a timer for each costs more than the stream itself.

use std::time::{Duration, Instant};

use entity::Timestamp;

use super::reactor::Reactor;

/// Ticks in a heartbeat: streams are silent for a quarter less than it at least, and never longer.
pub(super) const TICKS: u32 = 8;

/// After so many ticks without a word a stream gets a heartbeat.
pub(super) const QUIET: u32 = TICKS - 1;

/// Streams are looked at no more often than this, or those that give a reason all the time would be
/// all that is done.
const GRAIN: Duration = Duration::from_millis(10);

/// Streams that are looked at in one turn: those that were silent together get their heartbeats
/// together.
const SLICE: usize = 256;

/// When a stream is looked at.
pub(super) struct Now {
    pub(super) instant: Instant,
    pub(super) timestamp: Timestamp,
    /// The reactor's tick.
    pub(super) tick: u32,
}

/// See above.
pub(super) struct Clock {
    /// From tick to tick.
    interval: Duration,
    next_tick: Instant,
    last_look: Instant,
    next_look: Instant,
    /// How far a look at all streams has come.
    looking: Option<usize>,
}

impl Clock {
    pub(super) fn new(interval: Duration) -> Self {
        let now = Instant::now();
        let next = now + interval;
        Self { interval, next_tick: next, last_look: now, next_look: next, looking: None }
    }

    /// How long nothing has to be done.
    pub(super) fn wait(&self) -> Duration {
        match self.looking {
            Some(_) => Duration::ZERO,
            None => self.next_look.saturating_duration_since(Instant::now()),
        }
    }

    /// Something may have to end by then.
    pub(super) fn look_by(&mut self, by: Instant) {
        self.next_look = self.next_look.min(by.max(self.last_look + GRAIN));
    }

    /// Looks at the streams when it is time, at some of them in each turn.
    pub(super) fn look(&mut self, reactor: &Reactor) {
        let mut now = reactor.now();
        let from = match self.looking {
            Some(from) => from,
            None if now.instant < self.next_look => return,
            None => {
                if now.instant >= self.next_tick {
                    self.next_tick = now.instant + self.interval;
                    now.tick = reactor.next_tick();
                }
                self.last_look = now.instant;
                self.next_look = self.next_tick;
                0
            }
        };
        let (slice, is_more) = reactor.some(from, from + SLICE);
        self.looking = Some(from + SLICE).filter(|_| is_more);
        for outlet in slice {
            outlet.look(&now);
            if let Some(by) = outlet.look_by(&now) {
                self.look_by(by);
            }
        }
    }
}
