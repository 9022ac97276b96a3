//! Runs each job at its times.

use std::{iter::successors, panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::{
    job::{Context, Job, Schedule},
    jobs::JOBS,
};
use crate::{gateway::Gateway, telemetry::panic_message};

/// Pause after a failure of a continuous job, so that a permanent error does not fill the log.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Starts every background job. The jobs run until the gateway shuts down.
pub fn start(context: &Context) {
    for job in &JOBS {
        let context = context.clone();
        let Gateway { tasks, stopping, telemetry, .. } = &*context.gateway;
        telemetry.init_job(job.name, job.is_timed());
        let (tasks, stopping) = (tasks.clone(), stopping.clone());
        tasks.spawn(async move { stopping.run_until_cancelled(repeat(job, &context)).await });
    }
}

/// Runs a job at each of its times.
async fn repeat(job: &Job, context: &Context) {
    let gateway = &context.gateway;
    let heartbeat = Duration::from_secs(gateway.config.streams.heartbeat_seconds);
    let mut ticks = interval(match job.when {
        Schedule::Sweep => Duration::from_secs(gateway.config.retention.sweep_seconds),
        _ => heartbeat,
    });
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        if matches!(job.when, Schedule::Heartbeat | Schedule::Sweep) {
            ticks.tick().await;
        }
        let succeeded = run_once(job, context).await;
        match job.when {
            Schedule::LeaseEnd(family) => {
                let queue = gateway.work_queue(family);
                queue.next_lease_end.wait(Instant::now() + heartbeat).await;
            }
            Schedule::Continuously if !succeeded => sleep(PAUSE_AFTER_FAILURE).await,
            Schedule::Continuously | Schedule::Heartbeat | Schedule::Sweep => {}
        }
    }
}

/// Runs a job once. Returns whether it succeeded.
async fn run_once(job: &Job, context: &Context) -> bool {
    let began = std::time::Instant::now();
    let run = AssertUnwindSafe((job.run)(context.clone())).catch_unwind().await;
    let result = run
        .unwrap_or_else(|panic| Err(format!("panicked: {}", panic_message(panic.as_ref())).into()));
    if let Err(error) = &result {
        let cause = successors(error.source(), |error| error.source());
        let cause = cause.map(ToString::to_string).collect::<Vec<_>>().join(": ");
        tracing::warn!(job = job.name, %error, cause, "a background job failed");
    }
    let took = job.is_timed().then(|| began.elapsed());
    context.gateway.telemetry.job_finished(job.name, result.is_ok(), took);
    result.is_ok()
}
