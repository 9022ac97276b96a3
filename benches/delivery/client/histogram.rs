//! Times by size, at most 3 % off, in constant memory.

use serde::{Deserialize, Serialize};

/// Steps within each power of two.
const STEPS: u64 = 32;
const STEP_BITS: u32 = STEPS.ilog2();

/// A distribution of nanoseconds.
pub(super) struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    most: u64,
}

/// What is told of a distribution, in seconds; none of them if nothing was counted.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Times {
    pub(crate) p50: Option<f64>,
    pub(crate) p99: Option<f64>,
    pub(crate) most: Option<f64>,
}

impl Histogram {
    pub(super) fn new() -> Self {
        let buckets = usize::try_from(STEPS * 64).unwrap_or(usize::MAX);
        Self { buckets: vec![0; buckets], count: 0, most: 0 }
    }

    pub(super) fn add(&mut self, nanos: u64) {
        self.buckets[bucket(nanos)] += 1;
        self.count += 1;
        self.most = self.most.max(nanos);
    }

    pub(super) fn times(&self) -> Times {
        let most = (self.count > 0).then(|| seconds(self.most));
        Times { p50: self.quantile(50), p99: self.quantile(99), most }
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

/// Below [`STEPS`] each number has its own bucket, above every power of two has as many.
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

#[expect(clippy::cast_precision_loss, reason = "exact for the first hundred days")]
fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}
