//! Elapsed time, and a wall clock that does not jump.
//!
//! A machine has two clocks. The *uptime* (`CLOCK_BOOTTIME`) only goes forward and counts the time in suspend,
//! but it means nothing to another process. The *wall clock* can be compared everywhere, but it can be set to
//! any time at any moment. The difference between the two is constant until the wall clock is set, so a jump
//! shows in it.
//!
//! [`Clock`] keeps the settings of the wall clock that this process has noticed:
//!
//! - A lease carries the id of the setting that it was granted under. While the process lives, it measures its own
//!   leases by uptime, so that no jump cuts or prolongs them. Leases of other processes go by the wall clock.
//! - The first use of a refresh token is kept in the same way: its grace is measured like a lease.
//! - After a jump the earlier setting counts on, until the new one has been stable for [`SETTLING`]. A setting from the
//!   start of the process that was not stable for so long does not count on.
//! - Rows that are deleted by age are stamped by the setting that counts ([`Clock::now`]). So a clock that is
//!   wrong for a moment makes no row look old.
//! - Nothing is deleted for its age until the clock has been stable for [`SETTLING`], also after a start. Later, the
//!   age of a row is the least that any setting allows which the row may be stamped under ([`Reading::cutoff`]).
//! - Tokens and sessions do not wait. They expire by `Timestamp::now()`. Stamps that are only shown have that time too.
//!
//! There is no timer. Each reading looks for a jump, and the background work reads with each heartbeat. Timers of
//! tokio stand still in suspend: after wake-up, what fell due is found one heartbeat later at the latest.

mod history;

use std::{
    fmt::Debug,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicU64},
    time::Duration,
};

use entity::Timestamp;
use prometheus_client::metrics::{counter::Counter, gauge::Gauge};
use rustix::time::{ClockId, clock_gettime};
use uuid::Uuid;

use history::{Change, History, Setting};

pub use history::SETTLING;

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
        let history = Mutex::new(History::new(seen));
        Self { source, jumps, offset, history }
    }

    /// Time since the machine was started, time in suspend included. For what is held in memory.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        self.source.uptime()
    }

    /// Reads the clocks and looks for a jump.
    pub fn read(&self) -> Reading {
        let (uptime, history) = self.look();
        Reading { uptime, history: history.clone() }
    }

    /// The time by the setting that counts: for stamps that sweeps judge by [`Reading::cutoff`].
    pub fn now(&self) -> Timestamp {
        let (uptime, history) = self.look();
        history.counts().start + uptime
    }

    fn look(&self) -> (Duration, MutexGuard<'_, History>) {
        let mut history = self.lock();
        // Under the lock, so that readings are noted in the order in which they were taken.
        let (uptime, wall) = sample(&*self.source);
        let change = history.note(uptime, wall);
        self.offset.set(history.seen.ahead_of(history.counts()));
        let settling = SETTLING.as_secs();
        match change {
            Some(Change::Jumped(seconds)) => {
                self.jumps.inc();
                tracing::warn!(
                    seconds,
                    "the wall clock jumped; it counts again when it has been stable for {settling} s"
                );
            }
            Some(Change::Replaced(seconds)) => {
                self.jumps.inc();
                tracing::warn!(
                    seconds,
                    "the wall clock jumped; it counts at once, because it was not stable for {settling} s before"
                );
            }
            Some(Change::Returned) => {
                self.jumps.inc();
                tracing::info!("the wall clock is back where it was before it jumped");
            }
            Some(Change::Adopted(seconds)) => {
                tracing::info!(
                    seconds,
                    "the wall clock has been stable for {settling} s and counts"
                );
            }
            None => {}
        }
        (uptime, history)
    }

    fn lock(&self) -> MutexGuard<'_, History> {
        // Nothing that holds the lock can leave the history half changed.
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The clock of this machine, with metrics that are not shown.
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

    /// Time until the deadline. Zero when it has passed.
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

    /// A row that was stamped before this is at least so old, whichever setting since then it was stamped under. After
    /// a lasting jump it may be older.
    #[must_use]
    pub fn cutoff(&self, age: Duration) -> Timestamp {
        let History { seen, kept, earlier, forgotten, .. } = &self.history;
        let earlier = earlier.iter().map(|earlier| (earlier.setting.start, earlier.ended));
        let starts = earlier
            .chain(*forgotten)
            .filter(|(_, ended)| ended.saturating_add(age) > self.uptime)
            .map(|(start, _)| start);
        let start = starts.chain(kept.iter().map(|kept| kept.start)).fold(seen.start, Ord::min);
        start + self.uptime - age
    }

    /// The bounds of a query for deadlines that are over when `time` has passed. The first bound is for the setting
    /// that counts and for those of other processes. Each earlier setting of this process has a bound for its id.
    #[must_use]
    pub fn over_after(&self, time: Duration) -> (Timestamp, Vec<(Uuid, Timestamp)>) {
        let counts = self.history.counts();
        let by = |setting: &Setting| setting.start + self.uptime + time;
        // After a suspend, a lease of any earlier setting may still be open.
        let earlier = self.history.earlier.iter().filter(|earlier| earlier.counted);
        let others =
            earlier.map(|earlier| &earlier.setting).filter(|setting| setting.start != counts.start);
        (by(counts), others.map(|setting| (setting.id, by(setting))).collect())
    }

    /// The wall time at which the uptime was zero, by the setting of this deadline. Of another process: as it counts.
    fn start_of(&self, deadline: Deadline) -> Timestamp {
        let History { seen, earlier, .. } = &self.history;
        let counts = self.history.counts();
        let mut known = earlier.iter().map(|earlier| &earlier.setting).chain([seen, counts]);
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
    fn small_step_counts_at_once_and_large_one_later() {
        let hands = Arc::new(Hands::default());
        let clock = clock(&hands);
        let shows = |uptime, ahead| {
            *hands.0.lock().expect("no panic") = (uptime, ahead);
            clock.read().after(Duration::ZERO).at.seconds()
        };
        assert_eq!([shows(110, 0), shows(111, 1), shows(112, 0)], [110, 112, 112]);
        assert_eq!([shows(120, 2), shows(179, 2), shows(180, 2)], [120, 179, 182]);
        // Another jump begins the minute again; a return counts at once.
        assert_eq!([shows(190, 99), shows(240, 999), shows(250, 999)], [192, 242, 252]);
        assert_eq!([shows(299, 999), shows(300, 2), shows(301, 2)], [301, 302, 303]);
        assert!(!clock.read().is_settled());
        assert_eq!(shows(360, 2), 362);
        assert!(clock.read().is_settled());
    }

    #[test]
    fn a_wrong_time_at_the_start_does_not_count_on() {
        let hands = Arc::new(Hands::default());
        *hands.0.lock().expect("no panic") = (0, 3_600);
        let clock = clock(&hands);
        let lease = clock.read().after(Duration::from_secs(100));
        *hands.0.lock().expect("no panic") = (10, 0);
        assert_eq!(clock.now().seconds(), 10);
        assert_eq!(clock.read().left(lease), Duration::from_secs(90));
        // The minute of proof is behind it: this one counts on.
        *hands.0.lock().expect("no panic") = (70, 0);
        clock.read();
        *hands.0.lock().expect("no panic") = (71, 3_600);
        assert_eq!(clock.now().seconds(), 71);
    }

    #[test]
    fn many_jumps_do_not_forget_the_time_of_the_first() {
        let hands = Arc::new(Hands::default());
        let clock = clock(&hands);
        let stamp = clock.now();
        for jump in 1..=100 {
            *hands.0.lock().expect("no panic") = (jump, 1_000 * jump.cast_signed());
            clock.read();
        }
        assert!(stamp >= clock.read().cutoff(Duration::from_secs(101)));
    }

    proptest! {
        /// However the wall clock is set, a lease lasts for its length, and nothing is taken for older than it is.
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
                let stamps = [hands.wall(), clock.now()];
                made.push((now, stamps, reading.after(Duration::from_secs(age))));
                let cutoff = reading.cutoff(Duration::from_secs(age));
                for (at, stamps, deadline) in &made {
                    for stamp in stamps {
                        prop_assert!(*stamp >= cutoff || now - at >= age);
                    }
                    let left = (at + age).saturating_sub(now);
                    prop_assert_eq!(reading.left(*deadline), Duration::from_secs(left));
                    prop_assert_eq!(reading.left(reading.restated(*deadline)), Duration::from_secs(left));
                }
            }
        }
    }
}
