//! Elapsed time, and a wall clock that does not jump.
//!
//! A machine has two clocks. The *uptime* (`CLOCK_BOOTTIME`) only goes forward, and counts the time in suspend,
//! but it means nothing to another process. The *wall clock* can be compared everywhere, but it can be set to
//! any time at any moment. The difference between the two is constant until the wall clock is set. A change of
//! the difference is a *jump*, and the state between two jumps is a *setting* of the wall clock.
//!
//! [`Clock`] keeps the settings that this process has noticed:
//!
//! - After a jump, the previous setting stays *in effect* until the new one has been stable for
//!   [`STABLE_AFTER`]. If no setting has been stable for so long since the start, the new one is in effect at
//!   once.
//! - A lease stores the id of the setting under which it was granted. This process measures its own leases by
//!   uptime, so a jump neither shortens nor extends them. Leases of other processes are measured by the wall
//!   clock. The grace time of a refresh token is measured in the same way.
//! - Rows that are deleted by age get their timestamp from the setting in effect ([`Clock::now`]). So a clock that
//!   is wrong for a short time makes no row look old.
//! - No row is deleted by age until the clock has been stable for [`STABLE_AFTER`], also after a start. Then the
//!   age of a row is the smallest that any possible setting of its timestamp gives ([`Reading::cutoff`]).
//! - Tokens and sessions expire by `Timestamp::now()`, without delay. Timestamps that are only shown use it too.
//!
//! There is no timer. Each reading looks for a jump, and a background job reads the clock with each heartbeat.
//! The timers of tokio stop in suspend. After the machine wakes up, overdue work starts within one heartbeat.

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

pub use history::STABLE_AFTER;

/// The two clocks must be read within this time of each other. If the thread is suspended in between, the difference
/// looks like a jump.
const MAX_READ_TIME: Duration = Duration::from_millis(10);

/// The clocks of a machine.
pub trait TimeSource: Debug + Send + Sync {
    /// Time since the machine was started, time in suspend included. Never goes back.
    fn uptime(&self) -> Duration;

    /// The wall clock.
    fn wall(&self) -> Timestamp;
}

/// The clocks of this machine.
#[derive(Clone, Copy, Debug)]
pub struct SystemClocks;

impl TimeSource for SystemClocks {
    fn uptime(&self) -> Duration {
        let time = clock_gettime(ClockId::Boottime);
        Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
    }

    fn wall(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// A deadline as it is stored in rows.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    /// The time by the wall clock, under the setting `clock`.
    pub at: Timestamp,
    /// Id of the setting. Absent in rows that are older than the column.
    pub clock: Option<Uuid>,
}

/// The clock of a gateway.
#[derive(Debug)]
pub struct Clock {
    source: Arc<dyn TimeSource>,
    jumps: Counter,
    offset: Gauge<f64, AtomicU64>,
    history: Mutex<History>,
}

impl Clock {
    /// Starts with the present setting. `jumps` counts the jumps. `offset` is the number of seconds by which the wall
    /// clock is ahead of the setting in effect.
    #[must_use]
    pub fn new(source: Arc<dyn TimeSource>, jumps: Counter, offset: Gauge<f64, AtomicU64>) -> Self {
        let (uptime, wall) = sample(&*source);
        let seen = Setting::new(uptime, wall);
        let history = Mutex::new(History::new(seen));
        Self { source, jumps, offset, history }
    }

    /// Time since the machine was started, time in suspend included. For values that live in memory only.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        self.source.uptime()
    }

    /// Reads the clocks and looks for a jump.
    pub fn read(&self) -> Reading {
        let (uptime, history) = self.observe();
        Reading { uptime, history: history.clone() }
    }

    /// The time by the setting in effect. For timestamps that sweeps compare with [`Reading::cutoff`].
    pub fn now(&self) -> Timestamp {
        let (uptime, history) = self.observe();
        history.in_effect().start + uptime
    }

    fn observe(&self) -> (Duration, MutexGuard<'_, History>) {
        let mut history = self.lock();
        // Under the lock, so that readings are recorded in their order.
        let (uptime, wall) = sample(&*self.source);
        let change = history.record(uptime, wall);
        self.offset.set(history.current.ahead_of(history.in_effect()));
        let seconds_stable = STABLE_AFTER.as_secs();
        match change {
            Some(Change::Jumped(seconds)) => {
                self.jumps.inc();
                tracing::warn!(
                    seconds,
                    "the wall clock jumped; it takes effect when it has been stable for {seconds_stable} s"
                );
            }
            Some(Change::Replaced(seconds)) => {
                self.jumps.inc();
                tracing::warn!(
                    seconds,
                    "the wall clock jumped; it takes effect at once, because it was not stable for {seconds_stable} s before"
                );
            }
            Some(Change::Returned) => {
                self.jumps.inc();
                tracing::info!("the wall clock is back where it was before it jumped");
            }
            Some(Change::Adopted(seconds)) => {
                tracing::info!(
                    seconds,
                    "the wall clock has been stable for {seconds_stable} s and takes effect"
                );
            }
            None => {}
        }
        (uptime, history)
    }

    fn lock(&self) -> MutexGuard<'_, History> {
        // No code that holds the lock can leave the history half changed.
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The clock of this machine, with metrics that are not registered.
impl Default for Clock {
    fn default() -> Self {
        Self::new(Arc::new(SystemClocks), Counter::default(), Gauge::default())
    }
}

/// Reads the uptime and the wall clock at the same moment.
fn sample(source: &dyn TimeSource) -> (Duration, Timestamp) {
    let mut before = source.uptime();
    let mut tries = 0;
    loop {
        let (wall, after) = (source.wall(), source.uptime());
        tries += 1;
        if after.saturating_sub(before) < MAX_READ_TIME || tries == 10 {
            return (after, wall);
        }
        before = after;
    }
}

/// The time of one moment, by all settings.
#[derive(Clone, Debug)]
pub struct Reading {
    uptime: Duration,
    history: History,
}

impl Reading {
    /// Whether the wall clock has been stable for [`STABLE_AFTER`], so that rows may be deleted by age.
    #[must_use]
    pub fn is_stable(&self) -> bool {
        self.uptime.saturating_sub(self.history.current.noticed_at) >= STABLE_AFTER
    }

    /// The deadline that is this time from now.
    #[must_use]
    pub fn deadline_in(&self, time: Duration) -> Deadline {
        let Setting { id, start, .. } = *self.history.in_effect();
        Deadline { at: start + self.uptime + time, clock: Some(id) }
    }

    /// Time until the deadline. Zero if it has passed.
    #[must_use]
    pub fn time_until(&self, deadline: Deadline) -> Duration {
        deadline.at.since(self.start_of(deadline) + self.uptime)
    }

    /// The same deadline under the setting in effect.
    #[must_use]
    pub fn converted(&self, deadline: Deadline) -> Deadline {
        let Setting { id, start, .. } = *self.history.in_effect();
        let moved = start.0.saturating_sub(self.start_of(deadline).0);
        Deadline { at: Timestamp(deadline.at.0.saturating_add(moved)), clock: Some(id) }
    }

    /// A row with an earlier timestamp than this is at least `age` old, whichever setting gave the timestamp. After a
    /// jump that lasts, the row may be older.
    #[must_use]
    pub fn cutoff(&self, age: Duration) -> Timestamp {
        let History { current, in_effect, earlier, dropped, .. } = &self.history;
        let earlier = earlier.iter().map(|earlier| (earlier.setting.start, earlier.ended_at));
        let starts = earlier
            .chain(*dropped)
            .filter(|(_, ended_at)| ended_at.saturating_add(age) > self.uptime)
            .map(|(start, _)| start);
        let start = starts
            .chain(in_effect.iter().map(|setting| setting.start))
            .fold(current.start, Ord::min);
        start + self.uptime - age
    }

    /// The bounds of a query for deadlines within `time` from now. The first bound is for the setting in effect and for
    /// settings of other processes. Then follows a bound for each earlier setting of this process, by its id.
    #[must_use]
    pub fn expiry_bounds(&self, time: Duration) -> (Timestamp, Vec<(Uuid, Timestamp)>) {
        let in_effect = self.history.in_effect();
        let by = |setting: &Setting| setting.start + self.uptime + time;
        // After a suspend, leases of all earlier settings can still be valid.
        let earlier = self.history.earlier.iter().filter(|earlier| earlier.was_in_effect);
        let others = earlier
            .map(|earlier| &earlier.setting)
            .filter(|setting| setting.start != in_effect.start);
        (by(in_effect), others.map(|setting| (setting.id, by(setting))).collect())
    }

    /// The wall time at which the uptime was zero, by the setting of this deadline. If another process granted it, by
    /// the setting in effect.
    fn start_of(&self, deadline: Deadline) -> Timestamp {
        let History { current, earlier, .. } = &self.history;
        let in_effect = self.history.in_effect();
        let mut known = earlier.iter().map(|earlier| &earlier.setting).chain([current, in_effect]);
        known
            .find(|setting| Some(setting.id) == deadline.clock)
            .map_or(in_effect.start, |setting| setting.start)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Clocks that the test sets: seconds of uptime, and seconds by which the wall clock is ahead of it.
    #[derive(Debug, Default)]
    struct ManualClocks(Mutex<(u64, i64)>);

    impl TimeSource for ManualClocks {
        fn uptime(&self) -> Duration {
            Duration::from_secs(self.0.lock().expect("no panic").0)
        }

        fn wall(&self) -> Timestamp {
            let (uptime, ahead) = *self.0.lock().expect("no panic");
            Timestamp::from_seconds(uptime.cast_signed() + ahead)
        }
    }

    fn clock(clocks: &Arc<ManualClocks>) -> Clock {
        Clock::new(clocks.clone(), Counter::default(), Gauge::default())
    }

    #[test]
    fn small_step_takes_effect_at_once_and_large_one_later() {
        let clocks = Arc::new(ManualClocks::default());
        let clock = clock(&clocks);
        let time = |uptime, ahead| {
            *clocks.0.lock().expect("no panic") = (uptime, ahead);
            clock.read().deadline_in(Duration::ZERO).at.seconds()
        };
        assert_eq!([time(110, 0), time(111, 1), time(112, 0)], [110, 112, 112]);
        assert_eq!([time(120, 2), time(179, 2), time(180, 2)], [120, 179, 182]);
        // Another jump starts the minute again. A return to the previous setting takes effect at once.
        assert_eq!([time(190, 99), time(240, 999), time(250, 999)], [192, 242, 252]);
        assert_eq!([time(299, 999), time(300, 2), time(301, 2)], [301, 302, 303]);
        assert!(!clock.read().is_stable());
        assert_eq!(time(360, 2), 362);
        assert!(clock.read().is_stable());
    }

    #[test]
    fn wrong_time_at_the_start_does_not_stay_in_effect() {
        let clocks = Arc::new(ManualClocks::default());
        *clocks.0.lock().expect("no panic") = (0, 3_600);
        let clock = clock(&clocks);
        let lease = clock.read().deadline_in(Duration::from_secs(100));
        *clocks.0.lock().expect("no panic") = (10, 0);
        assert_eq!(clock.now().seconds(), 10);
        assert_eq!(clock.read().time_until(lease), Duration::from_secs(90));
        // This setting has been stable for a minute, so it stays in effect.
        *clocks.0.lock().expect("no panic") = (70, 0);
        clock.read();
        *clocks.0.lock().expect("no panic") = (71, 3_600);
        assert_eq!(clock.now().seconds(), 71);
    }

    #[test]
    fn many_jumps_keep_the_time_of_the_first() {
        let clocks = Arc::new(ManualClocks::default());
        let clock = clock(&clocks);
        let stamp = clock.now();
        for jump in 1..=100 {
            *clocks.0.lock().expect("no panic") = (jump, 1_000 * jump.cast_signed());
            clock.read();
        }
        assert!(stamp >= clock.read().cutoff(Duration::from_secs(101)));
    }

    proptest! {
        /// However the wall clock is set, a lease lasts for its duration, and no row looks older than it is.
        #[test]
        fn no_setting_of_the_clock_makes_anything_older(
            moves in proptest::collection::vec((1..100_u64, -100_000..100_000_i64), 1..40),
            age in 1..1_000_u64,
        ) {
            let clocks = Arc::new(ManualClocks::default());
            let clock = clock(&clocks);
            let mut stamped = Vec::new();
            for (seconds, ahead) in moves {
                let now = {
                    let mut clocks = clocks.0.lock().expect("no panic");
                    *clocks = (clocks.0 + seconds, if ahead % 3 == 0 { ahead } else { clocks.1 });
                    clocks.0
                };
                let reading = clock.read();
                let stamps = [clocks.wall(), clock.now()];
                stamped.push((now, stamps, reading.deadline_in(Duration::from_secs(age))));
                let cutoff = reading.cutoff(Duration::from_secs(age));
                for (at, stamps, deadline) in &stamped {
                    for stamp in stamps {
                        prop_assert!(*stamp >= cutoff || now - at >= age);
                    }
                    let remaining = (at + age).saturating_sub(now);
                    prop_assert_eq!(reading.time_until(*deadline), Duration::from_secs(remaining));
                    prop_assert_eq!(reading.time_until(reading.converted(*deadline)), Duration::from_secs(remaining));
                }
            }
        }
    }
}
