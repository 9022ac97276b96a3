//! A limit of calls per minute, which can also be read without a call.

use std::{hash::Hash, num::NonZeroU32, sync::Arc, time::Duration};

use governor::{
    Quota, RateLimiter,
    clock::{Clock, DefaultClock},
    middleware::StateInformationMiddleware,
    nanos::Nanos,
    state::{
        StateStore,
        keyed::{DashMapStateStore, ShrinkableKeyedStateStore},
    },
};

/// The state of all keys of a limit.
struct Shared<K: Hash + Eq + Clone>(Arc<DashMapStateStore<K>>);

/// The same state, which a call does not change.
struct ReadOnly<K: Hash + Eq + Clone>(Arc<DashMapStateStore<K>>);

impl<K: Hash + Eq + Clone> StateStore for Shared<K> {
    type Key = K;

    fn measure_and_replace<T, F, E>(&self, key: &K, f: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        self.0.measure_and_replace(key, f)
    }
}

impl<K: Hash + Eq + Clone> ShrinkableKeyedStateStore<K> for Shared<K> {
    fn retain_recent(&self, drop_below: Nanos) {
        self.0.retain_recent(drop_below);
    }

    fn shrink_to_fit(&self) {
        self.0.shrink_to_fit();
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<K: Hash + Eq + Clone> StateStore for ReadOnly<K> {
    type Key = K;

    fn measure_and_replace<T, F, E>(&self, key: &K, f: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        // After an error, the store keeps the previous state. So the result leaves as an error.
        let result = self.0.measure_and_replace::<(), _, _>(key, |before| Err(f(before)));
        match result {
            Ok(()) => unreachable!("the closure always returns an error"),
            Err(result) => result.map(|(value, _)| value),
        }
    }
}

/// A limit of calls per minute, for each key. A key may use all of them at once.
pub(super) struct Rate<K: Hash + Eq + Clone> {
    per_minute: u32,
    limiter: RateLimiter<K, Shared<K>, DefaultClock>,
    reader: RateLimiter<K, ReadOnly<K>, DefaultClock, StateInformationMiddleware>,
}

impl<K: Hash + Eq + Clone> Rate<K> {
    pub(super) fn per_minute(per_minute: u32) -> Self {
        let quota = Quota::per_minute(NonZeroU32::new(per_minute).unwrap_or(NonZeroU32::MIN));
        let state = Arc::new(DashMapStateStore::default());
        let clock = DefaultClock::default();
        Self {
            per_minute,
            reader: RateLimiter::new(quota, ReadOnly(Arc::clone(&state)), clock.clone()),
            limiter: RateLimiter::new(quota, Shared(state), clock),
        }
    }

    /// Counts one call. If the key has used up the limit, returns the time until the next call is allowed.
    pub(super) fn check(&self, key: &K) -> Result<(), Duration> {
        let now = || self.limiter.clock().now();
        self.limiter.check_key(key).map_err(|early| early.wait_time_from(now()))
    }

    /// Number of calls that the key has used up. It falls to zero within a minute without a call.
    pub(super) fn used(&self, key: &K) -> u32 {
        // The calls that would be left after one more.
        let left =
            self.reader.check_key(key).map_or(0, |state| state.remaining_burst_capacity() + 1);
        self.per_minute.saturating_sub(left)
    }

    /// Drops the keys that are back at zero.
    pub(super) fn prune(&self) {
        self.limiter.retain_recent();
        self.limiter.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_a_rate_uses_nothing_up() {
        let rate = Rate::per_minute(3);
        assert_eq!(rate.used(&"a"), 0);
        for used in 1..=3 {
            rate.check(&"a").expect("a call");
            for _ in 0..10 {
                assert_eq!(rate.used(&"a"), used);
            }
        }
        assert!(rate.check(&"a").is_err());
        assert_eq!((rate.used(&"a"), rate.used(&"b")), (3, 0));
    }
}
