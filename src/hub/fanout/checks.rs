//! The periodic work of a reactor. The reactor checks its streams, and ends those that have to end. It sends a
//! heartbeat on those that were silent for too long.
//!
//! All streams of a reactor share one timer. A timer for each stream would cost more than the stream itself.

use std::time::{Duration, Instant};

use super::handle::ReactorHandle;
use crate::hub::subscription::{CheckTime, TICKS_PER_HEARTBEAT};

/// Shortest time between two checks of all streams. Without this limit, frequent reasons for a check would keep the
/// reactor busy.
const MIN_INTERVAL: Duration = Duration::from_millis(10);

/// Maximum number of streams that are checked before the reactor polls its sockets again. Many streams can need a
/// heartbeat at the same time.
const SLICE: usize = 256;

/// The checks of one reactor's streams.
pub struct Checks {
    /// Time from one tick to the next.
    interval: Duration,
    next_tick: Instant,
    last_full: Instant,
    /// Time of the next check of all streams, at most one heartbeat after the last one.
    next_full: Instant,
    /// The check that is in progress, if any.
    current: Option<CheckRun>,
}

/// A check of the streams, topic by topic.
struct CheckRun {
    /// Whether the check is of all streams, or only of those that may have been silent for too long.
    is_full: bool,
    /// The reactor's key of the topic to check next.
    topic: usize,
    /// Number of indexes of that topic that are left to check. `None` before the first of them.
    left: Option<usize>,
}

impl Checks {
    /// Starts the timers. `interval` is the time from one tick to the next.
    pub fn new(interval: Duration) -> Self {
        let now = Instant::now();
        let next_full = now + interval * TICKS_PER_HEARTBEAT;
        Self { interval, next_tick: now + interval, last_full: now, next_full, current: None }
    }

    /// Time until the next check.
    pub fn wait(&self) -> Duration {
        match self.current {
            Some(_) => Duration::ZERO,
            None => self.next_tick.min(self.next_full).saturating_duration_since(Instant::now()),
        }
    }

    /// Requests a check of all streams at `by` at the latest, because a stream may have to end then.
    pub fn check_by(&mut self, by: Instant) {
        self.next_full = self.next_full.min(by.max(self.last_full + MIN_INTERVAL));
    }

    /// Checks a slice of the streams, if it is time.
    pub fn run(&mut self, reactor: &ReactorHandle) {
        let mut now = reactor.now();
        let Some(mut current) = self.current.take().or_else(|| self.begin(&mut now, reactor))
        else {
            return;
        };
        let mut budget = SLICE;
        while budget > 0 {
            let Some((key, topic)) = reactor.topic_from(current.topic) else { return };
            if key != current.topic {
                (current.topic, current.left) = (key, None);
            }
            // From the last index to the first, because the last stream takes the index of a removed one.
            let to = current.left.unwrap_or_else(|| topic.shard_len(reactor.index()));
            let from = to.saturating_sub(budget);
            budget -= (to - from).clamp(1, budget);
            if let Some(by) = topic.check((from, to), reactor.index(), &now, current.is_full) {
                self.check_by(by);
            }
            if from == 0 {
                (current.topic, current.left) = (key + 1, None);
            } else {
                current.left = Some(from);
            }
        }
        self.current = Some(current);
    }

    /// Begins a check, if it is time.
    fn begin(&mut self, now: &mut CheckTime, reactor: &ReactorHandle) -> Option<CheckRun> {
        let is_full = now.instant >= self.next_full;
        if now.instant >= self.next_tick {
            self.next_tick = now.instant + self.interval;
            now.tick = reactor.next_tick();
        } else if !is_full {
            return None;
        }
        if is_full {
            self.last_full = now.instant;
            self.next_full = now.instant + self.interval * TICKS_PER_HEARTBEAT;
        }
        Some(CheckRun { is_full, topic: 0, left: None })
    }
}
