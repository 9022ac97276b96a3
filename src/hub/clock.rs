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
    /// When something may have to end, and all streams are to be looked at: with each heartbeat at
    /// the latest.
    next_look: Instant,
    /// A look that has not come to its end.
    pass: Option<Pass>,
}

/// A look at streams, topic by topic.
struct Pass {
    /// At all; else only at those that may have been silent for too long.
    is_full: bool,
    /// The topic it has come to, by the reactor's key.
    topic: usize,
    /// Places of that topic still to go, if it has begun with it.
    left: Option<usize>,
}

impl Clock {
    pub(super) fn new(interval: Duration) -> Self {
        let now = Instant::now();
        let next_look = now + interval * TICKS;
        Self { interval, next_tick: now + interval, last_look: now, next_look, pass: None }
    }

    /// How long nothing has to be done.
    pub(super) fn wait(&self) -> Duration {
        match self.pass {
            Some(_) => Duration::ZERO,
            None => self.next_tick.min(self.next_look).saturating_duration_since(Instant::now()),
        }
    }

    /// Something may have to end by then.
    pub(super) fn look_by(&mut self, by: Instant) {
        self.next_look = self.next_look.min(by.max(self.last_look + GRAIN));
    }

    /// Looks at the streams when it is time, at some of them in each turn.
    pub(super) fn look(&mut self, reactor: &Reactor) {
        let mut now = reactor.now();
        let Some(mut pass) = self.pass.take().or_else(|| self.begin(&mut now, reactor)) else {
            return;
        };
        let mut budget = SLICE;
        while budget > 0 {
            let Some((topic, live)) = reactor.topic_from(pass.topic) else { return };
            if topic != pass.topic {
                (pass.topic, pass.left) = (topic, None);
            }
            // From the last place to the first, as streams that go are replaced by the last.
            let to = pass.left.unwrap_or_else(|| live.part_size(reactor.index()));
            let from = to.saturating_sub(budget);
            budget -= (to - from).clamp(1, budget);
            for outlet in live.to_look_at(reactor.index(), (from, to), now.tick, pass.is_full) {
                outlet.look(&now);
                if let Some(by) = outlet.look_by(&now) {
                    self.look_by(by);
                }
            }
            if from == 0 {
                (pass.topic, pass.left) = (topic + 1, None);
            } else {
                pass.left = Some(from);
            }
        }
        self.pass = Some(pass);
    }

    /// Begins a look, if it is time.
    fn begin(&mut self, now: &mut Now, reactor: &Reactor) -> Option<Pass> {
        let is_full = now.instant >= self.next_look;
        if now.instant >= self.next_tick {
            self.next_tick = now.instant + self.interval;
            now.tick = reactor.next_tick();
        } else if !is_full {
            return None;
        }
        if is_full {
            self.last_look = now.instant;
            self.next_look = now.instant + self.interval * TICKS;
        }
        Some(Pass { is_full, topic: 0, left: None })
    }
}
