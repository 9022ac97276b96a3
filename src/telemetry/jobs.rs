//! Metrics of background jobs.

use std::time::Duration;

use entity::Timestamp;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
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

/// Upper bounds of the buckets of a run, in seconds. With the last bucket, which has no bound, there are 12.
const BOUNDS: [f64; 11] = [0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0, 600.0, 1_800.0];

fn duration() -> Histogram {
    Histogram::new(BOUNDS)
}

const OUTCOMES: [&str; 2] = ["succeeded", "failed"];

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

    /// Shows the metrics of a job from the start. Without `is_timed`, the time of its runs is not recorded.
    pub(super) fn init(&self, job: &'static str, is_timed: bool) {
        for outcome in OUTCOMES {
            drop(self.runs.get_or_create(&ByOutcome { job, outcome }));
        }
        if is_timed {
            drop(self.seconds.get_or_create(&ByJob { job }));
        }
    }

    /// Counts a finished run. `took` is absent for a job that mostly waits for its trigger.
    pub(super) fn finished(&self, job: &'static str, succeeded: bool, took: Option<Duration>) {
        let [success, failure] = OUTCOMES;
        let outcome = if succeeded { success } else { failure };
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
