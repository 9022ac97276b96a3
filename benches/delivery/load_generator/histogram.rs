//! A histogram of times, exact to 3 %, in constant memory.

use serde::{Deserialize, Serialize};

/// Buckets within each power of two.
const STEPS: u64 = 32;
const STEP_BITS: u32 = STEPS.ilog2();

/// A distribution of nanoseconds.
pub(super) struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    max: u64,
}

/// Quantiles in seconds. None if nothing was counted.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Times {
    pub(crate) p50: Option<f64>,
    pub(crate) p99: Option<f64>,
    pub(crate) max: Option<f64>,
}

impl Histogram {
    pub(super) fn new() -> Self {
        let buckets = usize::try_from(STEPS * 64).unwrap_or(usize::MAX);
        Self { buckets: vec![0; buckets], count: 0, max: 0 }
    }

    pub(super) fn add(&mut self, nanos: u64) {
        self.buckets[bucket(nanos)] += 1;
        self.count += 1;
        self.max = self.max.max(nanos);
    }

    pub(super) fn times(&self) -> Times {
        let max = (self.count > 0).then(|| seconds(self.max));
        Times { p50: self.quantile(50), p99: self.quantile(99), max }
    }

    fn quantile(&self, percent: u64) -> Option<f64> {
        let rank = (self.count * percent).div_ceil(100).max(1);
        let mut below = 0;
        let found = self.buckets.iter().position(|count| {
            below += count;
            below >= rank
        })?;
        Some(seconds(middle(found)))
    }
}

/// The bucket of a number. Below [`STEPS`] each number has a bucket, and each power of two above has
/// [`STEPS`] buckets.
fn bucket(nanos: u64) -> usize {
    let Some(power) = nanos.checked_ilog2().filter(|power| *power >= STEP_BITS) else {
        return usize::try_from(nanos).unwrap_or(0);
    };
    let shift = power - STEP_BITS;
    let bucket = u64::from(shift + 1) * STEPS + (nanos >> shift) - STEPS;
    usize::try_from(bucket).unwrap_or(0)
}

/// The number in the middle of a bucket.
fn middle(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    let Some(shift) = (bucket / STEPS).checked_sub(1) else { return bucket };
    ((bucket % STEPS + STEPS) << shift) + (1 << shift) / 2
}

/// Converts nanoseconds to seconds.
#[expect(clippy::cast_precision_loss, reason = "exact for the first hundred days")]
pub(super) fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}
