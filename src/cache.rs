//! A cache of lookups, with a fixed capacity. An entry expires after the lifetime of the cache. After a change in this
//! process, the cache does not return the previous value.
//!
//! A caller that finds no entry gets a [`LookupStart`], and passes it with the result of its lookup to
//! [`Cache::insert`]. If any entry was invalidated in between, the result may be outdated, and is not cached.
//! Invalidations are counted under the lock of the entries. This prevents a race that common cache libraries allow. One
//! count for all keys is enough, because a result that is not cached only costs another lookup.
//!
//! The cache needs no sweep and no order of use, because it has two generations. New entries go into the current
//! generation. After the lifetime, or when the current generation is full, it becomes the previous generation, and the
//! entries of the previous generation are dropped.

use std::{
    collections::HashMap,
    hash::Hash,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use prometheus_client::metrics::counter::Counter;

use crate::clock::Clock;

/// Results of lookups, by key.
#[derive(Debug)]
pub struct Cache<K, V> {
    life: Duration,
    generation_capacity: usize,
    hits: Counter,
    misses: Counter,
    clock: Arc<Clock>,
    generations: Mutex<Generations<K, V>>,
}

#[derive(Debug)]
struct Generations<K, V> {
    /// New entries, each with the uptime at which its lookup began.
    current: HashMap<K, (Duration, V)>,
    /// The entries of the generation before.
    previous: HashMap<K, (Duration, V)>,
    /// The uptime at which the current generation last became the previous one.
    rotated_at: Duration,
    /// Number of invalidations so far.
    invalidations: u64,
}

/// The start of a lookup, for [`Cache::insert`].
#[derive(Clone, Copy, Debug)]
pub struct LookupStart {
    /// The uptime at the start.
    at: Duration,
    /// The number of invalidations at the start.
    invalidations: u64,
}

impl<K: Eq + Hash, V: Clone> Cache<K, V> {
    /// Creates a cache of up to `capacity` entries. Each entry expires after `life`. The age is measured by uptime,
    /// which includes a suspend of the machine.
    #[must_use]
    pub fn new(
        life: Duration,
        capacity: usize,
        [hits, misses]: [Counter; 2],
        clock: &Arc<Clock>,
    ) -> Self {
        let (current, previous) = (HashMap::new(), HashMap::new());
        let generations = Mutex::new(Generations {
            current,
            previous,
            rotated_at: clock.uptime(),
            invalidations: 0,
        });
        let clock = Arc::clone(clock);
        Self { life, generation_capacity: capacity.div_ceil(2), hits, misses, clock, generations }
    }

    /// Returns the cached result if it has not expired and `is_enough` accepts it. Otherwise returns the start of a
    /// lookup.
    pub fn get(&self, key: &K, is_enough: impl FnOnce(&V) -> bool) -> Result<V, LookupStart> {
        let generations = self.lock();
        let at = self.clock.uptime();
        let value = generations
            .current
            .get(key)
            .or_else(|| generations.previous.get(key))
            .filter(|(from, value)| at.saturating_sub(*from) < self.life && is_enough(value));
        if let Some((_, value)) = value {
            self.hits.inc();
            Ok(value.clone())
        } else {
            self.misses.inc();
            Err(LookupStart { at, invalidations: generations.invalidations })
        }
    }

    /// Starts a lookup without a search for the entry. For a caller that is about to create the value.
    pub fn start_lookup(&self) -> LookupStart {
        LookupStart { at: self.clock.uptime(), invalidations: self.lock().invalidations }
    }

    /// Caches the result of a lookup, unless any entry was invalidated since the lookup began.
    pub fn insert(&self, key: K, value: V, began: LookupStart) {
        let mut generations = self.lock();
        if generations.invalidations != began.invalidations {
            return;
        }
        let now = self.clock.uptime();
        let full = generations.current.len() >= self.generation_capacity
            && !generations.current.contains_key(&key);
        let dropped =
            (full || now.saturating_sub(generations.rotated_at) >= self.life).then(|| {
                generations.rotated_at = now;
                let current = mem::take(&mut generations.current);
                mem::replace(&mut generations.previous, current)
            });
        generations.current.insert(key, (began.at, value));
        drop(generations);
        // The old generation is dropped without the lock, because it may be large.
        drop(dropped);
    }

    /// Removes an entry. Running lookups then do not cache their results.
    pub fn invalidate(&self, key: &K) {
        self.invalidate_unless(key, |_| false);
    }

    /// Removes an entry like [`Cache::invalidate`], unless `holds` accepts the cached value.
    pub fn invalidate_unless(&self, key: &K, holds: impl FnOnce(&V) -> bool) {
        let mut generations = self.lock();
        let known = generations.current.get(key).or_else(|| generations.previous.get(key));
        if known.is_some_and(|(_, value)| holds(value)) {
            return;
        }
        generations.invalidations += 1;
        generations.current.remove(key);
        generations.previous.remove(key);
    }

    /// Removes all entries that `concerned` accepts. Checks every entry, so use it only for rare changes.
    pub fn invalidate_where(&self, concerned: impl Fn(&V) -> bool) {
        let mut generations = self.lock();
        generations.invalidations += 1;
        generations.current.retain(|_, (_, value)| !concerned(value));
        generations.previous.retain(|_, (_, value)| !concerned(value));
    }

    fn lock(&self) -> MutexGuard<'_, Generations<K, V>> {
        // Code that holds the lock cannot leave the halves inconsistent, so the cache still works after a panic.
        self.generations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small_cache(life: Duration, capacity: usize) -> Cache<u32, &'static str> {
        let counters = [Counter::default(), Counter::default()];
        Cache::new(life, capacity, counters, &Arc::new(Clock::default()))
    }

    const LONG: Duration = Duration::from_hours(1);

    fn look_up(cache: &Cache<u32, &'static str>, key: u32, value: &'static str) {
        let began = cache.get(&key, |_| true).expect_err("nothing yet");
        cache.insert(key, value, began);
    }

    fn known(cache: &Cache<u32, &'static str>, key: u32) -> Option<&'static str> {
        cache.get(&key, |_| true).ok()
    }

    #[test]
    fn value_is_known_until_it_is_invalidated() {
        let cache = small_cache(LONG, 10);
        for key in 1..=3 {
            look_up(&cache, key, "value");
        }
        cache.invalidate(&1);
        assert_eq!([1, 2, 3].map(|key| known(&cache, key)), [None, Some("value"), Some("value")]);
        cache.invalidate_unless(&2, |value| *value == "value");
        cache.invalidate_unless(&3, |value| *value == "another");
        assert_eq!([2, 3].map(|key| known(&cache, key)), [Some("value"), None]);
        assert!(cache.get(&2, |value| *value == "better").is_err());
        cache.invalidate_where(|value| *value == "value");
        assert_eq!(known(&cache, 2), None);
        assert_eq!((cache.hits.get(), cache.misses.get()), (3, 7));
    }

    #[test]
    fn answer_from_before_a_change_is_not_kept() {
        for change in [
            (|cache| cache.invalidate(&1)) as fn(&Cache<u32, &'static str>),
            |cache| cache.invalidate_unless(&1, |_| true),
            |cache| cache.invalidate_where(|_| false),
        ] {
            let cache = small_cache(LONG, 10);
            let began = cache.get(&1, |_| true).expect_err("nothing yet");
            change(&cache);
            cache.insert(1, "as it was before", began);
            assert_eq!(known(&cache, 1), None);
            look_up(&cache, 1, "as it is");
            assert_eq!(known(&cache, 1), Some("as it is"));
        }
    }

    #[test]
    fn answer_is_as_old_as_the_start_of_its_lookup() {
        let life = Duration::from_millis(50);
        let cache = small_cache(life, 10);
        let began = cache.get(&1, |_| true).expect_err("nothing yet");
        let until = began.at + life;
        while cache.clock.uptime() < began.at + life / 2 {
            std::hint::spin_loop();
        }
        cache.insert(1, "value", began);
        // Reading the entry does not extend its life.
        while known(&cache, 1).is_some() {
            assert!(cache.clock.uptime() < until + Duration::from_secs(5), "still there");
        }
        assert!(cache.clock.uptime() >= until);
        // The lookup took longer than the lifetime of its result.
        cache.insert(1, "value", began);
        assert_eq!(known(&cache, 1), None);
    }

    #[test]
    fn cache_is_bounded_and_keeps_the_newest_half() {
        let cache = small_cache(LONG, 10);
        for key in 0..1_000 {
            look_up(&cache, key, "value");
            let generations = cache.lock();
            assert!(generations.current.len() + generations.previous.len() <= 10);
            drop(generations);
            for newest in key.saturating_sub(4)..=key {
                assert_eq!(known(&cache, newest), Some("value"));
            }
        }
    }

    #[test]
    fn unused_entry_is_dropped_after_two_lifetimes() {
        let cache = small_cache(Duration::ZERO, 10);
        look_up(&cache, 1, "value");
        look_up(&cache, 2, "value");
        look_up(&cache, 3, "value");
        let generations = cache.lock();
        assert_eq!(
            (generations.current.contains_key(&3), generations.previous.contains_key(&2)),
            (true, true)
        );
        assert_eq!((generations.current.len(), generations.previous.len()), (1, 1));
    }
}
