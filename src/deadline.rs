//! Waits for the first of many deadlines.
//!
//! The database has the deadlines, so they survive this process. Reading them every second would be most of the
//! work of an idle gateway.
//!
//! The timer stops while the machine is suspended. The heartbeat after the wake-up finds deadlines that passed.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

/// The next deadline.
#[derive(Debug, Default)]
pub struct NextDeadline {
    at: Mutex<Option<Instant>>,
    sooner: Notify,
}

impl NextDeadline {
    /// Adds a deadline, after its commit. A deadline later than the known one is dropped, and found again when
    /// the known one has passed.
    pub fn set(&self, at: Instant) {
        let mut first = self.first();
        if first.is_none_or(|first| at < first) {
            *first = Some(at);
            self.sooner.notify_one();
        }
    }

    /// Waits until a deadline has passed, or until `latest`. For one waiting task.
    pub async fn wait(&self, latest: Instant) {
        loop {
            let at = self.first().map_or(latest, |first| first.min(latest));
            tokio::select! {
                () = sleep_until(at) => break,
                () = self.sooner.notified() => {}
            }
        }
        // Before the check, so that a deadline that is set meanwhile is not missed.
        *self.first() = None;
    }

    fn first(&self) -> MutexGuard<'_, Option<Instant>> {
        self.at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
