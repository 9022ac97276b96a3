//! The scheduler of all background jobs.
//!
//! Each job has its own task, so a slow job does not delay another job. If a job fails or panics, the failure is logged
//! and counted. The job runs again at its next time.

use std::{any::Any, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::{FutureExt, future::BoxFuture};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::{bus::Message, event::Family, family, gateway::Gateway};

/// The reason why a job failed, for the log.
type JobError = Box<dyn std::error::Error + Send + Sync>;

type JobResult = Result<(), JobError>;

/// A background job.
pub struct Job {
    /// The name in logs and metrics.
    pub name: &'static str,
    /// The times at which the job runs.
    pub when: When,
    /// Description of the job.
    pub does: &'static str,
    run: fn(Arc<Gateway>) -> BoxFuture<'static, JobResult>,
}

/// The times at which a job runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
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

const fn job(
    name: &'static str,
    when: When,
    does: &'static str,
    run: fn(Arc<Gateway>) -> BoxFuture<'static, JobResult>,
) -> Job {
    Job { name, when, does, run }
}

/// Every background job of a gateway.
pub const JOBS: [Job; 14] = [
    job(
        "receive_bus_messages",
        When::Continuously,
        "Delivers events of other gateways. Ends or rechecks the login sessions in their messages.",
        |gateway| receive_bus_message(gateway).boxed(),
    ),
    job(
        "end_streams",
        When::Continuously,
        "Ends streams whose login session has ended or changed.",
        |gateway| end_streams(gateway).boxed(),
    ),
    job(
        "probe_writes",
        When::Continuously,
        "Probes the database while writes fail, until it accepts writes again.",
        |gateway| probe_writes(gateway).boxed(),
    ),
    job("read_clock", When::Heartbeat, "Detects jumps of the wall clock.", |gateway| {
        read_clock(gateway).boxed()
    }),
    job(
        "recheck_sessions",
        When::Heartbeat,
        "Looks up the login sessions of open streams, in case the bus lost a message.",
        |gateway| recheck_sessions(gateway).boxed(),
    ),
    job(
        "recheck_topics",
        When::Heartbeat,
        "Compares live topics with the event log, in case the bus lost a message.",
        |gateway| recheck_topics(gateway).boxed(),
    ),
    job(
        "end_topology_leases",
        When::LeaseEnd(Family::Topology),
        "Makes mutations pending again when their lease expires.",
        |gateway| end_leases(gateway, Family::Topology).boxed(),
    ),
    job(
        "end_task_leases",
        When::LeaseEnd(Family::Task),
        "Makes tasks pending again, or ends them, when their lease expires.",
        |gateway| end_leases(gateway, Family::Task).boxed(),
    ),
    job(
        "end_prompt_leases",
        When::LeaseEnd(Family::Prompt),
        "Queues prompts again, or ends them, when their lease expires.",
        |gateway| end_leases(gateway, Family::Prompt).boxed(),
    ),
    job(
        "prune_limits",
        When::Sweep,
        "Drops the counters of limits that are back at zero.",
        |gateway| prune_limits(gateway).boxed(),
    ),
    job(
        "prune_events",
        When::Sweep,
        "Deletes events beyond the retention of their family, once the wall clock is stable.",
        |gateway| prune_events(gateway).boxed(),
    ),
    job(
        "prune_sessions",
        When::Sweep,
        "Deletes login sessions a day after their end, once the wall clock is stable.",
        |gateway| prune_sessions(gateway).boxed(),
    ),
    job("cancel_orphans", When::Sweep, "Ends the resources of deleted users.", |gateway| {
        cancel_orphans(gateway).boxed()
    }),
    job(
        "sweep_families",
        When::Sweep,
        "Deletes ended resources after their retention, once the wall clock is stable.",
        |gateway| sweep_families(gateway).boxed(),
    ),
];

/// Time from the end of a login session to its deletion.
const SESSION_RETENTION: Duration = Duration::from_hours(24);

/// Pause after a failure of a continuous job, so that a permanent error does not fill the log.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Starts every background job. The jobs run until the gateway shuts down.
pub fn start(gateway: &Arc<Gateway>) {
    for job in &JOBS {
        let gateway = Arc::clone(gateway);
        gateway.tasks.clone().spawn(async move {
            let stopping = gateway.stopping.clone();
            stopping.run_until_cancelled(repeat(job, &gateway)).await;
        });
    }
}

/// Runs a job at each of its times.
async fn repeat(job: &Job, gateway: &Arc<Gateway>) {
    let heartbeat = Duration::from_secs(gateway.config.streams.heartbeat_seconds);
    let mut ticks = interval(match job.when {
        When::Sweep => Duration::from_secs(gateway.config.retention.sweep_seconds),
        _ => heartbeat,
    });
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        if matches!(job.when, When::Heartbeat | When::Sweep) {
            ticks.tick().await;
        }
        let succeeded = run_once(job, gateway).await;
        match job.when {
            When::LeaseEnd(family) => {
                let queue = gateway.work_queue(family);
                queue.next_lease_end.wait(Instant::now() + heartbeat).await;
            }
            When::Continuously if !succeeded => tokio::time::sleep(PAUSE_AFTER_FAILURE).await,
            When::Continuously | When::Heartbeat | When::Sweep => {}
        }
    }
}

/// Runs a job once. Returns whether it succeeded.
async fn run_once(job: &Job, gateway: &Arc<Gateway>) -> bool {
    let began = std::time::Instant::now();
    let run = AssertUnwindSafe((job.run)(Arc::clone(gateway))).catch_unwind().await;
    let result = run.unwrap_or_else(|panic| Err(panic_message(panic.as_ref()).into()));
    if let Err(error) = &result {
        tracing::warn!(job = job.name, error = &**error, "a background job failed");
    }
    // A continuous job mostly waits for its trigger, so its time says nothing.
    let took = (job.when != When::Continuously).then(|| began.elapsed());
    gateway.telemetry.job_finished(job.name, result.is_ok(), took);
    result.is_ok()
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    format!("panicked: {}", text.unwrap_or("without a message"))
}

async fn receive_bus_message(gateway: Arc<Gateway>) -> JobResult {
    let message = gateway.bus_messages.lock().await.recv().await;
    match message {
        Some(Message::Events(events)) => gateway.hub.deliver(&events),
        Some(Message::SessionRevoked(session)) => gateway.sessions.session_ended(session),
        Some(Message::UserChanged(user)) => gateway.sessions.recheck_user(user).await?,
        // The bus is closed, so no other message can arrive.
        None => gateway.stopping().await,
    }
    Ok(())
}

async fn end_streams(gateway: Arc<Gateway>) -> JobResult {
    gateway.sessions.changed().await;
    gateway.hub.check_streams();
    Ok(())
}

async fn probe_writes(gateway: Arc<Gateway>) -> JobResult {
    gateway.database.watch_writes().await;
    Ok(())
}

async fn read_clock(gateway: Arc<Gateway>) -> JobResult {
    gateway.clock.read();
    Ok(())
}

async fn recheck_sessions(gateway: Arc<Gateway>) -> JobResult {
    Ok(gateway.sessions.recheck().await?)
}

async fn recheck_topics(gateway: Arc<Gateway>) -> JobResult {
    Ok(gateway.hub.recheck().await?)
}

async fn end_leases(gateway: Arc<Gateway>, family: Family) -> JobResult {
    Ok(family::end_expired_leases(&gateway, family).await?)
}

async fn prune_limits(gateway: Arc<Gateway>) -> JobResult {
    gateway.limits.prune();
    Ok(())
}

async fn prune_events(gateway: Arc<Gateway>) -> JobResult {
    let Some(now) = gateway.settled().await else { return Ok(()) };
    for family in Family::ALL {
        let (retention, _) = gateway.settings(family);
        let events = gateway.hub.log().prune(family, retention, &now).await?;
        if events > 0 {
            tracing::info!(family = family.name(), events, "pruned the event log");
        }
    }
    Ok(())
}

async fn prune_sessions(gateway: Arc<Gateway>) -> JobResult {
    let Some(now) = gateway.settled().await else { return Ok(()) };
    gateway.sessions.prune(now.cutoff(SESSION_RETENTION)).await?;
    Ok(())
}

async fn cancel_orphans(gateway: Arc<Gateway>) -> JobResult {
    Ok(family::cancel_orphans(&gateway).await?)
}

async fn sweep_families(gateway: Arc<Gateway>) -> JobResult {
    if gateway.settled().await.is_some() {
        family::sweep(&gateway).await?;
    }
    Ok(())
}
