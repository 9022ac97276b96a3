//! The histogram of a latency.

use prometheus_client::metrics::histogram::Histogram;

/// Upper bounds of the buckets of a latency, in seconds. With the last bucket, which has no bound, there are 12. The
/// smallest is for a hit in a cache, and the largest for a request that waits.
const BOUNDS: [f64; 11] =
    [0.000_025, 0.000_1, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.25, 1.0, 10.0];

pub(super) fn latency() -> Histogram {
    Histogram::new(BOUNDS)
}
