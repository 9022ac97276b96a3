//! The state that all parts of the hub share. This file depends on none of these parts.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{runtime::Handle, sync::Semaphore};
use tokio_util::task::{TaskTracker, task_tracker::TaskTrackerToken};

use crate::{event_log::EventLog, telemetry::Telemetry};

/// Maximum number of subscriptions that read the event log at the same time.
const READERS: usize = 4;

/// The configuration of streams.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Longest time without bytes on a stream. The hub compares live topics with the event log at the same interval.
    pub heartbeat: Duration,
    /// Time before the end of a login session at which its streams announce the end.
    pub expiring: Duration,
    /// Maximum number of events in the ring of each live topic.
    pub buffer_events: usize,
    /// Time that clients are told to wait before they reconnect. The gateway adds jitter for each client.
    pub retry: Duration,
    /// Number of reactors: the threads that write to sockets.
    pub reactors: usize,
    /// Whether the reactors send with io_uring. If the kernel does not support it, they use `send`.
    pub io_uring: bool,
}

/// The state that all parts of the hub share.
pub struct Context {
    /// The event log, which the hub reads and appends to.
    pub log: EventLog,
    /// The configuration of streams.
    pub settings: Settings,
    /// Counts events, streams, commits and reads of the log.
    pub telemetry: Arc<Telemetry>,
    /// One permit for each subscription that may read the event log at the same time. Many subscriptions can be behind
    /// at once, and their reads must not take every connection to the database.
    pub readers: Semaphore,
    tasks: TaskTracker,
    /// Runs the tasks that reactors start, because a reactor is a thread outside the runtime.
    runtime: Handle,
    /// Whether every stream has to end.
    is_closing: AtomicBool,
}

impl Context {
    /// Creates the context. The current Tokio runtime runs its tasks. A shutdown waits for `tasks`.
    pub fn new(
        log: EventLog,
        settings: Settings,
        telemetry: Arc<Telemetry>,
        tasks: TaskTracker,
    ) -> Arc<Self> {
        Arc::new(Self {
            log,
            settings,
            telemetry,
            readers: Semaphore::new(READERS),
            tasks,
            runtime: Handle::current(),
            is_closing: AtomicBool::new(false),
        })
    }

    /// Runs a task that a shutdown waits for. Any thread may call this.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn_on(task, &self.runtime);
    }

    /// Returns a token. A shutdown waits until the token is dropped.
    pub fn token(&self) -> TaskTrackerToken {
        self.tasks.token()
    }

    /// Marks every stream to end. A stream ends at its next check.
    pub fn close(&self) {
        self.is_closing.store(true, Ordering::Release);
    }

    /// Whether every stream has to end.
    pub fn is_closing(&self) -> bool {
        self.is_closing.load(Ordering::Acquire)
    }
}
