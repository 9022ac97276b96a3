//! The tasks of HTTP/2 streams.

use std::sync::Arc;
use std::time::Duration;

use hyper::rt::Executor;
use tokio::select;
use tokio::time::sleep;
use tokio_util::task::TaskTracker;

use super::connection_state::ConnectionState;
use super::write_progress::WriteProgress;
use crate::telemetry::Telemetry;

/// Runs the HTTP/2 streams of one connection as tasks that a shutdown waits for.
///
/// A task ends when its connection ends. It also ends when its client does not read a response with a known length.
#[derive(Clone)]
pub(super) struct Http2Executor {
    pub(super) tasks: TaskTracker,
    pub(super) connection: Arc<ConnectionState>,
    pub(super) telemetry: Arc<Telemetry>,
    pub(super) write_timeout: Duration,
}

impl<F: Future<Output: Send> + Send + 'static> Executor<F> for Http2Executor {
    fn execute(&self, stream: F) {
        let Self { connection, telemetry, write_timeout, .. } = self.clone();
        self.tasks.spawn(async move {
            let progress = Arc::<WriteProgress>::default();
            // Dropping the stream's future resets the stream. The connection continues.
            select! {
                biased;
                _ = progress.scope(stream) => {}
                () = progress.wait_for_abort() => return,
                () = progress.wait_for_stall(write_timeout) => {
                    return telemetry.response_aborted("write_timeout");
                }
            }
            if progress.last().is_none() {
                return;
            }
            // The connection now holds the last bytes of the response. The connection cannot drop only these bytes: it
            // has to end. Other streams on it need the connection, so this waits until it has none.
            let stalled_without_streams = async {
                loop {
                    progress.wait_for_stall(write_timeout).await;
                    if !connection.has_stream() {
                        break;
                    }
                    sleep(write_timeout).await;
                }
            };
            select! {
                biased;
                () = progress.wait_for_finish() => {}
                () = progress.wait_for_abort() => connection.progress.abort(),
                () = stalled_without_streams => {
                    telemetry.response_aborted("write_timeout");
                    connection.progress.abort();
                }
            }
        });
    }
}
