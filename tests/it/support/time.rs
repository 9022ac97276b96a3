//! A machine whose clocks tests can move.

use std::{
    sync::atomic::{AtomicI64, AtomicU64, Ordering::SeqCst},
    time::Duration,
};

use entity::Timestamp;
use streamgate::clock::{SystemClocks, TimeSource};

/// This machine's clocks, moved ahead, and with another wall clock.
#[derive(Debug, Default)]
pub struct Time {
    /// The time starts this long before now, so that the clock can be stable when a test begins.
    pub begins_ago: Duration,
    pub passed_seconds: AtomicU64,
    pub ahead_seconds: AtomicI64,
}

impl Time {
    /// A machine whose time starts this long ago. The test lets it pass at first.
    pub fn ago(begins_ago: Duration) -> Self {
        Self { begins_ago, ..Self::default() }
    }

    /// Lets time pass as in a suspend: both clocks continue, but no timer does.
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
