//! Metrics of background jobs.

use std::time::Duration;

use entity::Timestamp;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByJob {
    job: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByOutcome {
    job: &'static str,
    outcome: &'static str,
}

/// A histogram from 1 ms to 35 min. Each bucket is twice as large as the previous bucket.
fn duration() -> Histogram {
    Histogram::new(exponential_buckets(1e-3, 2.0, 22))
}

/// The metrics of the background jobs of one gateway.
#[derive(Debug)]
pub(super) struct JobMetrics {
    runs: Family<ByOutcome, Counter>,
    seconds: Family<ByJob, Histogram>,
    last_success: Family<ByJob, Gauge>,
}

impl Default for JobMetrics {
    fn default() -> Self {
        Self {
            runs: Family::default(),
            seconds: Family::new_with_constructor(duration),
            last_success: Family::default(),
        }
    }
}

impl JobMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "job_runs",
            "Runs of background jobs, by job and outcome",
            self.runs.clone(),
        );
        registry.register_with_unit(
            "job",
            "Time of a run of a background job, by job",
            Unit::Seconds,
            self.seconds.clone(),
        );
        registry.register_with_unit(
            "job_last_success_timestamp",
            "Unix time of the last run of a background job that succeeded, by job",
            Unit::Seconds,
            self.last_success.clone(),
        );
    }

    /// Counts a finished run. `took` is absent for a job that mostly waits for its trigger.
    pub(super) fn finished(&self, job: &'static str, succeeded: bool, took: Option<Duration>) {
        let outcome = if succeeded { "succeeded" } else { "failed" };
        self.runs.get_or_create(&ByOutcome { job, outcome }).inc();
        if let Some(took) = took {
            self.seconds.get_or_create(&ByJob { job }).observe(took.as_secs_f64());
        }
        if succeeded {
            let now = Timestamp::now().0 / 1_000_000;
            self.last_success.get_or_create(&ByJob { job }).set(now);
        }
    }
}
