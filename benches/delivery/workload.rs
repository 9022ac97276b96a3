//! The events that a measurement publishes, and their rate.

use std::time::Duration;

/// Deliveries per second of paced measurements: about a fifth of what the floor can do on one core.
pub(crate) const DELIVERIES_PER_SECOND: f64 = 50_000.0;
/// Time limit of a measurement with one topic.
pub(crate) const LIMIT: Duration = Duration::from_secs(40);

/// The requests of a measurement, and their rate.
pub(crate) struct Workload {
    /// Number of requests.
    pub(crate) count: usize,
    /// Requests per second. If absent, each request is sent when an earlier one is acknowledged.
    pub(crate) per_second: Option<f64>,
    /// Maximum number of requests that wait for their responses at the same time.
    pub(crate) in_flight: usize,
    /// The first topic, and the number of topics.
    pub(crate) topics: (usize, usize),
    /// Time limit.
    pub(crate) limit: Duration,
}

impl Workload {
    /// A workload of [`DELIVERIES_PER_SECOND`] to this many subscribers of one topic.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "small positive numbers"
    )]
    pub(crate) fn paced(subscribers: usize, topic: usize, seconds: f64) -> Self {
        let rate = DELIVERIES_PER_SECOND / subscribers as f64;
        let count = (rate * seconds).ceil() as usize;
        Self { count, per_second: Some(rate), in_flight: 8, topics: (topic, 1), limit: LIMIT }
    }
}
