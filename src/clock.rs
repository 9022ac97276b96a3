//! Elapsed time, and a wall clock that does not jump.
//!
//! A machine has two clocks. The *uptime* (`CLOCK_BOOTTIME`) only goes forward and counts the time in suspend, but it
//! means nothing to another process. The *wall clock* can be compared everywhere, but it can be set to any time at any
//! moment. The difference between the two is constant until somebody sets the wall clock, so a jump shows in it.
//!
//! [`Clock`] keeps every [`Setting`] of the wall clock that this process has noticed:
//!
//! - A lease carries the id of the setting that it was granted under. While the process lives, it measures its own
//!   leases by uptime, so that no jump cuts or prolongs them. Leases of other processes go by the wall clock.
//! - The first use of a refresh token is kept in the same way: its grace is measured like a lease.
//! - After a jump the earlier setting counts on, until the new one has been stable for [`SETTLING`].
//! - Nothing is deleted for its age until the clock has been stable for [`SETTLING`], also after a start. Later, the
//!   age of a row is the least that any setting allows which the row may be stamped under ([`Reading::cutoff`]).
//! - Tokens and sessions do not wait. They expire by `Timestamp::now()`, and so does whatever is only stamped.
//!
//! There is no timer. Each reading looks for a jump, and the background work reads with each heartbeat. Timers of
//! tokio stand still in suspend: after wake-up, what fell due is found one heartbeat later at the latest.

use std::{
    collections::VecDeque,
    fmt::Debug,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicU64},
    time::Duration,
};

use entity::Timestamp;
use prometheus_client::metrics::{counter::Counter, gauge::Gauge};
use rustix::time::{ClockId, clock_gettime};
use uuid::Uuid;

/// A wall clock that was set counts again once it has been stable for this long.
pub const SETTLING: Duration = Duration::from_mins(1);

/// Microseconds by which the wall clock may be set without it being a jump: time services make steps of this size
/// (a leap second, for example). Small steps are followed at once.
const STEP: u64 = 1_000_000;

/// Settings that are remembered. A clock that is set more often than this is a broken one.
const MAX_SETTINGS: usize = 64;

/// The two clocks must be read within this time of each other, or a thread that was put aside in between sees a jump.
const AT_ONCE: Duration = Duration::from_millis(10);

/// The clocks of a machine.
pub trait Source: Debug + Send + Sync {
    /// Time since the machine was started, time in suspend included. Never goes back.
    fn uptime(&self) -> Duration;

    /// The wall clock.
    fn wall(&self) -> Timestamp;
}

/// This machine.
#[derive(Clone, Copy, Debug)]
pub struct Machine;

impl Source for Machine {
    fn uptime(&self) -> Duration {
        let time = clock_gettime(ClockId::Boottime);
        Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
    }

    fn wall(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// A deadline as rows keep it.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    /// The time, by the wall clock of the setting.
    pub at: Timestamp,
    /// The setting; absent in rows older than this column.
    pub clock: Option<Uuid>,
}

/// What the wall clock was set to.
#[derive(Clone, Copy, Debug)]
struct Setting {
    id: Uuid,
    /// The wall time at which the uptime was zero.
    start: Timestamp,
    /// The uptime at which it was noticed.
    noticed: Duration,
}

impl Setting {
    fn new(uptime: Duration, wall: Timestamp) -> Self {
        Self { id: Uuid::new_v4(), start: wall - uptime, noticed: uptime }
    }

    /// Whether the two differ by no more than a small step.
    fn is_like(&self, other: &Self) -> bool {
        self.start.0.abs_diff(other.start.0) <= STEP
    }

    /// Seconds by which this one is ahead.
    fn ahead_of(&self, other: &Self) -> f64 {
        let ahead = self.start.since(other.start).as_secs_f64();
        ahead - other.start.since(self.start).as_secs_f64()
    }
}

#[derive(Clone, Debug)]
struct History {
    /// The present setting.
    seen: Setting,
    /// The one that counts instead, while the present one is too new.
    kept: Option<Setting>,
    /// The earlier ones, oldest first, and the uptime until which each may have been in force.
    earlier: VecDeque<(Setting, Duration)>,
}

/// What a reading found out.
enum News {
    /// The wall clock was set: by so many seconds from what counts.
    Jumped(f64),
    /// It is back where it was.
    Returned,
    /// It has been stable for long enough and counts from here on.
    Adopted(f64),
}

impl History {
    /// What counts.
    fn counts(&self) -> &Setting {
        self.kept.as_ref().unwrap_or(&self.seen)
    }

    fn note(&mut self, uptime: Duration, wall: Timestamp) -> Option<News> {
        let new = Setting::new(uptime, wall);
        let jumped = !new.is_like(&self.seen);
        if jumped {
            self.kept = Some(*self.counts());
            self.earlier.push_back((self.seen, uptime));
            if self.earlier.len() > MAX_SETTINGS {
                self.earlier.pop_front();
            }
            self.seen = new;
        } else {
            self.seen.start = new.start;
        }
        let kept = self.kept?;
        let jump = self.seen.ahead_of(&kept);
        if self.seen.is_like(&kept) {
            self.kept = None;
            return Some(News::Returned);
        }
        if uptime.saturating_sub(self.seen.noticed) >= SETTLING {
            self.kept = None;
            return Some(News::Adopted(jump));
        }
        jumped.then_some(News::Jumped(jump))
    }
}

/// The clock of a gateway.
#[derive(Debug)]
pub struct Clock {
    source: Arc<dyn Source>,
    jumps: Counter,
    offset: Gauge<f64, AtomicU64>,
    history: Mutex<History>,
}

impl Clock {
    /// Takes the wall clock as it is. Counts the jumps, and shows by how many seconds the wall clock is ahead of what
    /// counts.
    #[must_use]
    pub fn new(source: Arc<dyn Source>, jumps: Counter, offset: Gauge<f64, AtomicU64>) -> Self {
        let (uptime, wall) = sample(&*source);
        let seen = Setting::new(uptime, wall);
        let history = Mutex::new(History { seen, kept: None, earlier: VecDeque::new() });
        Self { source, jumps, offset, history }
    }

    /// Time since the machine was started, time in suspend included. For what is held in memory.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        self.source.uptime()
    }

    /// Reads the clocks and looks for a jump.
    pub fn read(&self) -> Reading {
        let mut history = self.lock();
        // Under the lock, so that readings are noted in the order in which they were taken.
        let (uptime, wall) = sample(&*self.source);
        let news = history.note(uptime, wall);
        let history = history.clone();
        self.offset.set(history.seen.ahead_of(history.counts()));
        let settling = SETTLING.as_secs();
        match news {
            Some(News::Jumped(seconds)) => {
                self.jumps.inc();
                tracing::warn!(
                    seconds,
                    "the wall clock jumped; it counts again when it has been stable for {settling} s"
                );
            }
            Some(News::Returned) => {
                self.jumps.inc();
                tracing::info!("the wall clock is back where it was before it jumped");
            }
            Some(News::Adopted(seconds)) => {
                tracing::info!(
                    seconds,
                    "the wall clock has been stable for {settling} s and counts"
                );
            }
            None => {}
        }
        Reading { uptime, history }
    }

    fn lock(&self) -> MutexGuard<'_, History> {
        // Nothing that holds the lock can leave the history half changed.
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// This machine's, with nobody who looks at its metrics.
impl Default for Clock {
    fn default() -> Self {
        Self::new(Arc::new(Machine), Counter::default(), Gauge::default())
    }
}

/// The uptime and the wall clock of one moment.
fn sample(source: &dyn Source) -> (Duration, Timestamp) {
    let mut before = source.uptime();
    let mut tries = 0;
    loop {
        let (wall, after) = (source.wall(), source.uptime());
        tries += 1;
        if after.saturating_sub(before) < AT_ONCE || tries == 10 {
            return (after, wall);
        }
        before = after;
    }
}

/// A moment.
#[derive(Clone, Debug)]
pub struct Reading {
    uptime: Duration,
    history: History,
}

impl Reading {
    /// Whether the wall clock has been stable for long enough to delete by it.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.uptime.saturating_sub(self.history.seen.noticed) >= SETTLING
    }

    /// The deadline that comes after this time.
    #[must_use]
    pub fn after(&self, time: Duration) -> Deadline {
        let Setting { id, start, .. } = *self.history.counts();
        Deadline { at: start + self.uptime + time, clock: Some(id) }
    }

    /// How long until the deadline; zero when it is over.
    #[must_use]
    pub fn left(&self, deadline: Deadline) -> Duration {
        deadline.at.since(self.start_of(deadline) + self.uptime)
    }

    /// The same deadline by the setting that counts.
    #[must_use]
    pub fn restated(&self, deadline: Deadline) -> Deadline {
        let Setting { id, start, .. } = *self.history.counts();
        let moved = start.0.saturating_sub(self.start_of(deadline).0);
        Deadline { at: Timestamp(deadline.at.0.saturating_add(moved)), clock: Some(id) }
    }

    /// What was stamped before this is at least so old, whichever setting since then it was stamped under. After a
    /// lasting jump it may be older.
    #[must_use]
    pub fn cutoff(&self, age: Duration) -> Timestamp {
        let History { seen, kept, earlier } = &self.history;
        let in_question =
            earlier.iter().filter(|(_, ended)| ended.saturating_add(age) > self.uptime);
        let starts = in_question.map(|(setting, _)| setting.start);
        let start = starts.chain(kept.iter().map(|kept| kept.start)).fold(seen.start, Ord::min);
        start + self.uptime - age
    }

    /// For a query: up to which time deadlines are over when `time` has passed, and for each setting that differs from
    /// what counts, its id and up to which time there.
    #[must_use]
    pub fn over_after(&self, time: Duration) -> (Timestamp, Vec<(Uuid, Timestamp)>) {
        let counts = self.history.counts();
        let by = |setting: &Setting| setting.start + self.uptime + time;
        let earlier = self.history.earlier.iter().map(|(setting, _)| setting);
        let others = earlier.filter(|setting| setting.start != counts.start);
        (by(counts), others.map(|setting| (setting.id, by(setting))).collect())
    }

    /// The wall time at which the uptime was zero, by the setting of this deadline. Of another process: as it counts.
    fn start_of(&self, deadline: Deadline) -> Timestamp {
        let History { seen, earlier, .. } = &self.history;
        let counts = self.history.counts();
        let mut known = earlier.iter().map(|(setting, _)| setting).chain([seen, counts]);
        known
            .find(|setting| Some(setting.id) == deadline.clock)
            .map_or(counts.start, |setting| setting.start)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Clocks that are moved by hand: seconds of uptime, and seconds by which the wall clock is ahead of it.
    #[derive(Debug, Default)]
    struct Hands(Mutex<(u64, i64)>);

    impl Source for Hands {
        fn uptime(&self) -> Duration {
            Duration::from_secs(self.0.lock().expect("no panic").0)
        }

        fn wall(&self) -> Timestamp {
            let (uptime, ahead) = *self.0.lock().expect("no panic");
            Timestamp::from_seconds(uptime.cast_signed() + ahead)
        }
    }

    fn clock(hands: &Arc<Hands>) -> Clock {
        Clock::new(hands.clone(), Counter::default(), Gauge::default())
    }

    #[test]
    fn a_small_step_is_followed_and_a_large_one_a_minute_later() {
        let hands = Arc::new(Hands::default());
        let clock = clock(&hands);
        let shows = |uptime, ahead| {
            *hands.0.lock().expect("no panic") = (uptime, ahead);
            clock.read().after(Duration::ZERO).at.seconds()
        };
        assert_eq!([shows(10, 0), shows(11, 1), shows(12, 0)], [10, 12, 12]);
        assert_eq!([shows(20, 2), shows(79, 2), shows(80, 2)], [20, 79, 82]);
        // Another jump begins the minute again; who comes back has never been away.
        assert_eq!([shows(90, 99), shows(140, 999), shows(150, 999)], [92, 142, 152]);
        assert_eq!([shows(199, 999), shows(200, 2), shows(201, 2)], [201, 202, 203]);
        assert!(!clock.read().is_settled());
        assert_eq!(shows(260, 2), 262);
        assert!(clock.read().is_settled());
    }

    proptest! {
        /// Whatever is done to the wall clock: a lease lasts for its length, and nothing is taken for older
        /// than it is.
        #[test]
        fn no_setting_of_the_clock_makes_anything_older(
            moves in proptest::collection::vec((1..100_u64, -100_000..100_000_i64), 1..40),
            age in 1..1_000_u64,
        ) {
            let hands = Arc::new(Hands::default());
            let clock = clock(&hands);
            let mut made = Vec::new();
            for (pass, ahead) in moves {
                let now = {
                    let mut hands = hands.0.lock().expect("no panic");
                    *hands = (hands.0 + pass, if ahead % 3 == 0 { ahead } else { hands.1 });
                    hands.0
                };
                let reading = clock.read();
                made.push((now, hands.wall(), reading.after(Duration::from_secs(age))));
                let cutoff = reading.cutoff(Duration::from_secs(age));
                for (at, stamp, deadline) in &made {
                    prop_assert!(*stamp >= cutoff || now - at >= age);
                    let left = (at + age).saturating_sub(now);
                    prop_assert_eq!(reading.left(*deadline), Duration::from_secs(left));
                    prop_assert_eq!(reading.left(reading.restated(*deadline)), Duration::from_secs(left));
                }
            }
        }
    }
}
