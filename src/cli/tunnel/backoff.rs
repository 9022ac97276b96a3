//! The time between two attempts.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(30);

/// A time that doubles with each attempt, with jitter, so that clients which lost the same gateway do not all come back
/// at the same moment.
#[derive(Default)]
pub(super) struct Backoff {
    attempts: u32,
}

impl Backoff {
    /// The time until the next attempt.
    pub(super) fn next(&mut self) -> Duration {
        let longest = FIRST.saturating_mul(1 << self.attempts.min(16)).min(LONGEST);
        self.attempts += 1;
        longest.mul_f64(0.5 + 0.5 * rand::random::<f64>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_grows_up_to_a_limit() {
        let mut backoff = Backoff::default();
        let times: Vec<Duration> = (0..20).map(|_| backoff.next()).collect();
        assert!(times[0] <= FIRST && times[19] <= LONGEST && times[19] >= LONGEST / 2, "{times:?}");
    }
}
