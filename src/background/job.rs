//! A background job, and the times at which it runs.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::Notify;

use crate::{event::Family, gateway::Gateway, server::Certificate};

/// The reason why a job failed, for the log.
pub(super) type JobError = Box<dyn std::error::Error + Send + Sync>;

pub(super) type JobResult = Result<(), JobError>;

/// A background job.
pub struct Job {
    /// The name in logs and metrics.
    pub name: &'static str,
    /// The times at which the job runs.
    pub when: Schedule,
    /// Description of the job.
    pub description: &'static str,
    pub(super) run: fn(Context) -> BoxFuture<'static, JobResult>,
}

impl Job {
    /// Whether the time of a run is recorded. A continuous job mostly waits for its trigger, so its time says nothing.
    #[must_use]
    pub fn is_timed(&self) -> bool {
        self.when != Schedule::Continuously
    }
}

/// The times at which a job runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// At the start and with every heartbeat (`streams.heartbeat_seconds`).
    Heartbeat,
    /// At the start and with every sweep (`retention.sweep_seconds`).
    Sweep,
    /// At the start, and when a lease of the family may have expired. Also with every heartbeat, for leases from other
    /// gateways.
    LeaseEnd(Family),
    /// All the time. The job itself waits for its trigger.
    Continuously,
}

/// Describes a job.
pub(super) const fn job(
    name: &'static str,
    when: Schedule,
    description: &'static str,
    run: fn(Context) -> BoxFuture<'static, JobResult>,
) -> Job {
    Job { name, when, description, run }
}

/// The values that the jobs use.
#[derive(Clone)]
pub struct Context {
    /// The gateway.
    pub gateway: Arc<Gateway>,
    /// The certificate of the listener. Absent without TLS.
    pub certificate: Option<Arc<Certificate>>,
    /// Makes the gateway read the files of its certificate at once.
    pub reload: Arc<Notify>,
}
