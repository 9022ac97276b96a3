//! The result of one round.

use crate::load_generator::Published;

/// The result of one round.
pub(crate) struct Measurement {
    pub(crate) published: Published,
    /// CPU time of the server in seconds.
    pub(crate) cpu: f64,
    /// Largest growth of the server's memory during the round, in KiB.
    pub(crate) memory_growth: f64,
}

impl Measurement {
    /// CPU time of one delivery in seconds.
    #[expect(clippy::cast_precision_loss, reason = "a number of deliveries")]
    pub(crate) fn cpu_per_delivery(&self) -> f64 {
        self.cpu / self.published.delivered as f64
    }

    #[expect(clippy::cast_precision_loss, reason = "a number of deliveries")]
    pub(crate) fn deliveries_per_second(&self) -> f64 {
        self.published.delivered as f64 / self.published.delivery_seconds
    }

    /// Describes closed streams, missing deliveries and the error of a request. None if there are
    /// none.
    pub(crate) fn problem(&self) -> Option<String> {
        let Published { delivered, expected, ended, error, .. } = &self.published;
        let mut problems = Vec::new();
        if *ended > 0 {
            problems.push(format!("the server closed {ended} streams"));
        }
        if delivered < expected {
            problems.push(format!("{} of {expected} deliveries are missing", expected - delivered));
        }
        problems.extend(error.clone());
        (!problems.is_empty()).then(|| problems.join(", "))
    }
}
