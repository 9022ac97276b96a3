//! Percentiles of the latencies that have a target.
//!
//! The buckets of a Prometheus histogram are too wide for a 99th percentile. These histograms have a precision of one
//! percent. They count from the start of the process.

use std::time::Duration;

use hdrhistogram::Histogram;
use parking_lot::Mutex;

/// Longest latency that is told apart, in nanoseconds: one minute.
const LONGEST: u64 = 60_000_000_000;
/// Significant decimal digits of a recorded latency.
const DIGITS: u8 = 2;

/// A latency, as it was recorded since the start.
#[derive(Debug)]
pub struct Percentiles(Mutex<Histogram<u64>>);

impl Default for Percentiles {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(1, LONGEST, DIGITS);
        Self(Mutex::new(histogram.expect("the bounds and the digits are valid")))
    }
}

/// The percentiles of a latency.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// Number of recorded values. Without one, the percentiles are zero.
    pub count: u64,
    /// Half of the values are at most this long.
    pub p50: Duration,
    /// 95 of 100 values are at most this long.
    pub p95: Duration,
    /// 99 of 100 values are at most this long.
    pub p99: Duration,
}

impl Percentiles {
    /// Records a latency.
    pub fn record(&self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.0.lock().saturating_record(nanos);
    }

    /// Forgets all values, for a measurement that begins now.
    pub fn reset(&self) {
        self.0.lock().reset();
    }

    /// The percentiles so far.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let histogram = self.0.lock();
        let at = |quantile| Duration::from_nanos(histogram.value_at_quantile(quantile));
        Summary { count: histogram.len(), p50: at(0.5), p95: at(0.95), p99: at(0.99) }
    }
}

/// The latencies that have a target.
#[derive(Debug, Default)]
pub struct Latencies {
    /// The check of a login session, with its look-up if it is not cached.
    pub session_validation: Percentiles,
    /// The exchange of a refresh token.
    pub token_refresh: Percentiles,
    /// The refresh of an OAuth grant, without the time of the provider.
    pub grant_refresh: Percentiles,
    /// The look-up of a resource, from the cache or from the database.
    pub resource_lookup: Percentiles,
    /// The check of an external issuer or of an OAuth provider that is up.
    pub provider_check: Percentiles,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_within_a_percent() {
        let latency = Percentiles::default();
        assert_eq!(latency.summary().p99, Duration::ZERO);
        for millis in 1..=1_000 {
            latency.record(Duration::from_millis(millis));
        }
        let Summary { count, p50, p95, p99 } = latency.summary();
        assert_eq!(count, 1_000);
        for (found, expected) in [(p50, 500.0), (p95, 950.0), (p99, 990.0)] {
            let millis = found.as_secs_f64() * 1e3;
            assert!((millis - expected).abs() <= expected / 100.0, "{millis} {expected}");
        }
        latency.record(Duration::MAX);
        assert_eq!(latency.summary().count, 1_001);
        latency.reset();
        assert_eq!(latency.summary().count, 0);
    }
}
