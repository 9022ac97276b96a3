//! A clock source that tests can move.

use std::{
    sync::atomic::{AtomicI64, AtomicU64, Ordering::SeqCst},
    time::Duration,
};

use entity::Timestamp;
use streamgate::clock::{SystemClocks, TimeSource};

use crate::support::until;

/// The clocks of this machine, which a test can move ahead together, and a wall clock that it can set.
#[derive(Debug, Default)]
pub struct Time {
    /// The wall clock starts this long before now. A test that lets this time pass begins with a stable clock.
    pub begins_ago: Duration,
    pub passed_seconds: AtomicU64,
    pub ahead_seconds: AtomicI64,
}

impl Time {
    /// Creates a machine whose wall clock starts this long ago. [`Time::pass`] moves it to the present.
    pub fn ago(begins_ago: Duration) -> Self {
        Self { begins_ago, ..Self::default() }
    }

    /// Lets time pass like a suspend: both clocks advance, but no timer does.
    pub fn pass(&self, time: Duration) {
        self.passed_seconds.fetch_add(time.as_secs(), SeqCst);
    }

    /// Sets the wall clock this many seconds ahead of the right time, or behind it if negative.
    pub fn set_ahead(&self, seconds: i64) {
        self.ahead_seconds.store(seconds, SeqCst);
    }
}

impl TimeSource for Time {
    fn uptime(&self) -> Duration {
        SystemClocks.uptime() + Duration::from_secs(self.passed_seconds.load(SeqCst))
    }

    fn wall(&self) -> Timestamp {
        let passed = Duration::from_secs(self.passed_seconds.load(SeqCst));
        let ahead = self.ahead_seconds.load(SeqCst) * 1_000_000;
        Timestamp((SystemClocks.wall() + passed - self.begins_ago).0 + ahead)
    }
}

/// Waits for the next second by the wall clock, and returns it. A token that is issued in the second of a revocation counts
/// as issued before it.
pub async fn next_second() -> i64 {
    let now = Timestamp::now().seconds();
    until("next second", async || Timestamp::now().seconds() > now).await;
    now + 1
}
