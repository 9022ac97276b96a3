//! The progress of a response that is being sent, and whether it is to be aborted.
//!
//! On HTTP/1.1 the connection has one [`WriteProgress`], on HTTP/2 each response has one.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task_local;
use tokio::time::{Instant, sleep_until};

/// The progress of a response, see the module's documentation.
#[derive(Default)]
pub(super) struct WriteProgress {
    /// Time of the last progress. `None` if no response with a known length is being sent.
    last: Mutex<Option<Instant>>,
    aborted: Notify,
    finished: Notify,
}

impl WriteProgress {
    /// Records that more of the response was sent.
    pub(super) fn record(&self) {
        *self.last.lock() = Some(Instant::now());
    }

    /// Records that the response is completely sent, or dropped.
    pub(super) fn finish(&self) {
        *self.last.lock() = None;
        self.finished.notify_one();
    }

    /// Time of the last progress.
    pub(super) fn last(&self) -> Option<Instant> {
        *self.last.lock()
    }

    /// Requests that the response is aborted.
    pub(super) fn abort(&self) {
        self.aborted.notify_one();
    }

    /// Waits for [`Self::abort`].
    pub(super) async fn wait_for_abort(&self) {
        self.aborted.notified().await;
    }

    /// Waits for [`Self::finish`].
    pub(super) async fn wait_for_finish(&self) {
        self.finished.notified().await;
    }

    /// Waits until the response has made no progress for `timeout`.
    pub(super) async fn wait_for_stall(&self, timeout: Duration) {
        loop {
            let deadline = self.last().unwrap_or_else(Instant::now) + timeout;
            sleep_until(deadline).await;
            if self.last().is_some_and(|last| last + timeout <= Instant::now()) {
                return;
            }
        }
    }

    /// Runs the task of an HTTP/2 stream with `self` as its [`Self::of_current_task`].
    pub(super) fn scope<F: Future>(self: &Arc<Self>, task: F) -> impl Future<Output = F::Output> {
        CURRENT.scope(Arc::clone(self), task)
    }

    /// The progress of the HTTP/2 response that the current task sends. `None` on HTTP/1.1.
    pub(super) fn of_current_task() -> Option<Arc<Self>> {
        CURRENT.try_with(Arc::clone).ok()
    }
}

task_local! {
    static CURRENT: Arc<WriteProgress>;
}
