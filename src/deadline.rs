//! Waits for the earliest of many deadlines.
//!
//! The deadlines are in the database, so they survive a restart of the process. A query every second would be most of
//! the work of an idle gateway. So this timer keeps the earliest known deadline in memory.
//!
//! The timer stops while the machine is suspended. The next heartbeat after that finds deadlines that have passed.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

/// The earliest known deadline.
#[derive(Debug, Default)]
pub struct NextDeadline {
    at: Mutex<Option<Instant>>,
    sooner: Notify,
}

impl NextDeadline {
    /// Adds a deadline. Call this after its commit. A deadline that is later than the known deadline is ignored,
    /// because the query after the known deadline finds it.
    pub fn set(&self, at: Instant) {
        let mut first = self.first();
        if first.is_none_or(|first| at < first) {
            *first = Some(at);
            self.sooner.notify_one();
        }
    }

    /// Waits until a deadline has passed, or until `latest`. Only one task may wait.
    pub async fn wait(&self, latest: Instant) {
        loop {
            let at = self.first().map_or(latest, |first| first.min(latest));
            tokio::select! {
                () = sleep_until(at) => break,
                () = self.sooner.notified() => {}
            }
        }
        // Cleared before the caller runs its query, so that a deadline that is set during the query is not lost.
        *self.first() = None;
    }

    fn first(&self) -> MutexGuard<'_, Option<Instant>> {
        self.at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
