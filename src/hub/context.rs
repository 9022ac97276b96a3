//! The state that all parts of the hub share. It knows none of them.

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

/// Subscriptions that read the event log at the same time.
const READERS: usize = 4;

/// The configuration of streams.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Longest silence on a stream. The hub compares topics with the event log as often.
    pub heartbeat: Duration,
    /// Events kept in memory for each live topic.
    pub buffer_events: usize,
    /// Time that clients are told to wait before they reconnect. Each client adds jitter.
    pub retry: Duration,
    /// Threads that write to sockets.
    pub reactors: usize,
    /// Whether these threads use io_uring where the kernel has it.
    pub io_uring: bool,
}

/// The state that all parts of the hub share.
pub struct Context {
    /// The event log.
    pub log: EventLog,
    /// The configuration of streams.
    pub settings: Settings,
    /// The metrics.
    pub telemetry: Arc<Telemetry>,
    /// Held while a subscription reads the event log. Many can be behind at once, and their reads
    /// must not take every connection to the database.
    pub readers: Semaphore,
    tasks: TaskTracker,
    /// Runs the tasks that a reactor starts: a reactor is a thread outside the runtime.
    runtime: Handle,
    /// Every stream is to end.
    is_closing: AtomicBool,
}

impl Context {
    /// A context for the current runtime. A shutdown waits for `tasks`.
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

    /// A shutdown waits until this token is dropped.
    pub fn token(&self) -> TaskTrackerToken {
        self.tasks.token()
    }

    /// Every stream is to end from now on.
    pub fn close(&self) {
        self.is_closing.store(true, Ordering::Release);
    }

    /// Whether every stream is to end.
    pub fn is_closing(&self) -> bool {
        self.is_closing.load(Ordering::Acquire)
    }
}
