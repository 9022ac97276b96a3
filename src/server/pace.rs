//! Whether what is to be read gets read: on HTTP/1.1 of a connection, on HTTP/2 of one answer on it.

use std::sync::Arc;
use std::time::Duration;

use hyper::rt::Executor;
use parking_lot::Mutex;
use tokio::select;
use tokio::sync::Notify;
use tokio::task_local;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::task::TaskTracker;

use super::activity::Activity;
use crate::telemetry::Telemetry;

/// See above.
#[derive(Default)]
pub(super) struct Pace {
    /// The last progress of an answer that is being sent and has an end.
    last: Mutex<Option<Instant>>,
    /// The answer is to be given up.
    cut: Notify,
    /// All of it is out.
    done: Notify,
}

impl Pace {
    /// Some of it has been taken.
    pub(super) fn progress(&self) {
        *self.last.lock() = Some(Instant::now());
    }

    /// All of it is out, or dropped.
    pub(super) fn finish(&self) {
        *self.last.lock() = None;
        self.done.notify_one();
    }

    pub(super) fn last(&self) -> Option<Instant> {
        *self.last.lock()
    }

    /// Gives it up.
    pub(super) fn cut(&self) {
        self.cut.notify_one();
    }

    /// Until it is to be given up.
    pub(super) async fn is_cut(&self) {
        self.cut.notified().await;
    }

    /// Until it has made no progress for this long.
    async fn stalls(&self, most: Duration) {
        loop {
            let by = self.last().unwrap_or_else(Instant::now) + most;
            sleep_until(by).await;
            if self.last().is_some_and(|last| last + most <= Instant::now()) {
                return;
            }
        }
    }
}

task_local! {
    /// That of the answer on HTTP/2 which the task sends.
    static PACE: Arc<Pace>;
}

/// The pace of the answer that this task sends, if the task is one of [`Streams`].
pub(super) fn of_this_task() -> Option<Arc<Pace>> {
    PACE.try_with(Arc::clone).ok()
}

/// Runs the HTTP/2 streams of a connection as tasks that a shutdown waits for. They end when their
/// connection does, or when their client takes nothing of an answer that has an end.
#[derive(Clone)]
pub(super) struct Streams {
    pub(super) tasks: TaskTracker,
    pub(super) connection: Arc<Activity>,
    pub(super) telemetry: Arc<Telemetry>,
    pub(super) write_timeout: Duration,
}

impl<F: Future<Output: Send> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        let Self { connection, telemetry, write_timeout, .. } = self.clone();
        self.tasks.spawn(async move {
            let pace = Arc::<Pace>::default();
            // Dropping it resets the stream and leaves the connection as it is.
            select! {
                biased;
                _ = PACE.scope(Arc::clone(&pace), stream) => {}
                () = pace.is_cut() => return,
                () = pace.stalls(write_timeout) => return telemetry.answer_cut("write_timeout"),
            }
            if pace.last().is_none() {
                return;
            }
            // The end of it is in the hands of the connection, which cannot let go of it alone, and
            // which streams need.
            let stalls_alone = async {
                loop {
                    pace.stalls(write_timeout).await;
                    if !connection.is_streaming() {
                        break;
                    }
                    sleep(write_timeout).await;
                }
            };
            select! {
                biased;
                () = pace.done.notified() => {}
                () = pace.is_cut() => connection.pace.cut(),
                () = stalls_alone => {
                    telemetry.answer_cut("write_timeout");
                    connection.pace.cut();
                }
            }
        });
    }
}
