//! Waiting for the first of many things that fall due.
//!
//! The database has the deadlines, so they survive this process. Asking for it every second would be most of
//! what an idle gateway does.
//!
//! The timer stops while the machine is suspended. The heartbeat after wake-up finds what fell due.

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
    /// Something falls due at this time. To be told after it is committed: a later one than is known
    /// is forgotten, and found again by who looks when the first one rings.
    pub fn set(&self, at: Instant) {
        let mut first = self.first();
        if first.is_none_or(|first| at < first) {
            *first = Some(at);
            self.sooner.notify_one();
        }
    }

    /// Waits until something is due, until `latest` at most. For one who waits.
    pub async fn wait(&self, latest: Instant) {
        loop {
            let at = self.first().map_or(latest, |first| first.min(latest));
            tokio::select! {
                () = sleep_until(at) => break,
                () = self.sooner.notified() => {}
            }
        }
        // Before looking, so that what is set while that goes on is not lost.
        *self.first() = None;
    }

    fn first(&self) -> MutexGuard<'_, Option<Instant>> {
        self.at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
