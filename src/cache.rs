//! A cache of look-ups, with a fixed capacity. An entry expires after the lifetime of the cache. After a change in this
//! process, the cache does not return the old value.
//!
//! A caller that finds no entry gets a [`LookupStart`], and passes it with the result of its look-up to
//! [`Cache::insert`]. If any entry was invalidated in between, the result may be outdated, and is not cached.
//! Invalidations are counted under the lock of the entries. This prevents a race that common cache libraries allow. One
//! count for all keys is enough, because a result that is not cached only costs another look-up.
//!
//! The cache needs no sweep and no order of use, because it has two halves. New entries go into the young half. After
//! the lifetime, or when the young half is full, it becomes the old half, and the previous old half is dropped.

use std::{
    collections::HashMap,
    hash::Hash,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use prometheus_client::metrics::counter::Counter;

use crate::clock::Clock;

/// Results of look-ups, by key.
#[derive(Debug)]
pub struct Cache<K, V> {
    life: Duration,
    half: usize,
    hits: Counter,
    misses: Counter,
    clock: Arc<Clock>,
    kept: Mutex<Kept<K, V>>,
}

#[derive(Debug)]
struct Kept<K, V> {
    /// New entries, each with the uptime at which its look-up began.
    young: HashMap<K, (Duration, V)>,
    /// The previous young half.
    old: HashMap<K, (Duration, V)>,
    /// The uptime at which the young half last became the old half.
    turned: Duration,
    /// Number of invalidations so far.
    changes: u64,
}

/// The start of a look-up, for [`Cache::insert`].
#[derive(Clone, Copy, Debug)]
pub struct LookupStart {
    /// The uptime at the start.
    at: Duration,
    /// The number of invalidations at the start.
    changes: u64,
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
        let (young, old) = (HashMap::new(), HashMap::new());
        let kept = Mutex::new(Kept { young, old, turned: clock.uptime(), changes: 0 });
        let clock = Arc::clone(clock);
        Self { life, half: capacity.div_ceil(2), hits, misses, clock, kept }
    }

    /// Returns the cached result if it has not expired and `is_enough` accepts it. Otherwise returns the start of a
    /// look-up.
    pub fn get(&self, key: &K, is_enough: impl FnOnce(&V) -> bool) -> Result<V, LookupStart> {
        let kept = self.lock();
        let at = self.clock.uptime();
        let answer = kept
            .young
            .get(key)
            .or_else(|| kept.old.get(key))
            .filter(|(from, value)| at.saturating_sub(*from) < self.life && is_enough(value));
        if let Some((_, value)) = answer {
            self.hits.inc();
            Ok(value.clone())
        } else {
            self.misses.inc();
            Err(LookupStart { at, changes: kept.changes })
        }
    }

    /// Starts a look-up without a search for the entry. For a caller that is about to create the value.
    pub fn start_lookup(&self) -> LookupStart {
        LookupStart { at: self.clock.uptime(), changes: self.lock().changes }
    }

    /// Caches the result of a look-up, unless any entry was invalidated since the look-up began.
    pub fn insert(&self, key: K, value: V, began: LookupStart) {
        let mut kept = self.lock();
        if kept.changes != began.changes {
            return;
        }
        let now = self.clock.uptime();
        let full = kept.young.len() >= self.half && !kept.young.contains_key(&key);
        let dropped = (full || now.saturating_sub(kept.turned) >= self.life).then(|| {
            kept.turned = now;
            let young = mem::take(&mut kept.young);
            mem::replace(&mut kept.old, young)
        });
        kept.young.insert(key, (began.at, value));
        drop(kept);
        // The old half is dropped without the lock, because it may be large.
        drop(dropped);
    }

    /// Removes an entry. Running look-ups then do not cache their results.
    pub fn invalidate(&self, key: &K) {
        self.invalidate_unless(key, |_| false);
    }

    /// Removes an entry like [`Cache::invalidate`], unless `holds` accepts the cached value.
    pub fn invalidate_unless(&self, key: &K, holds: impl FnOnce(&V) -> bool) {
        let mut kept = self.lock();
        let known = kept.young.get(key).or_else(|| kept.old.get(key));
        if known.is_some_and(|(_, value)| holds(value)) {
            return;
        }
        kept.changes += 1;
        kept.young.remove(key);
        kept.old.remove(key);
    }

    /// Removes all entries that `concerned` accepts. Checks every entry, so use it only for rare changes.
    pub fn invalidate_where(&self, concerned: impl Fn(&V) -> bool) {
        let mut kept = self.lock();
        kept.changes += 1;
        kept.young.retain(|_, (_, value)| !concerned(value));
        kept.old.retain(|_, (_, value)| !concerned(value));
    }

    fn lock(&self) -> MutexGuard<'_, Kept<K, V>> {
        // Code that holds the lock cannot leave the halves inconsistent, so the cache still works after a panic.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recent(life: Duration, capacity: usize) -> Cache<u32, &'static str> {
        let counters = [Counter::default(), Counter::default()];
        Cache::new(life, capacity, counters, &Arc::new(Clock::default()))
    }

    const LONG: Duration = Duration::from_hours(1);

    fn look_up(recent: &Cache<u32, &'static str>, key: u32, answer: &'static str) {
        let began = recent.get(&key, |_| true).expect_err("nothing yet");
        recent.insert(key, answer, began);
    }

    fn known(recent: &Cache<u32, &'static str>, key: u32) -> Option<&'static str> {
        recent.get(&key, |_| true).ok()
    }

    #[test]
    fn an_answer_is_known_until_it_is_forgotten() {
        let recent = recent(LONG, 10);
        for key in 1..=3 {
            look_up(&recent, key, "answer");
        }
        recent.invalidate(&1);
        assert_eq!(
            [1, 2, 3].map(|key| known(&recent, key)),
            [None, Some("answer"), Some("answer")]
        );
        recent.invalidate_unless(&2, |answer| *answer == "answer");
        recent.invalidate_unless(&3, |answer| *answer == "another");
        assert_eq!([2, 3].map(|key| known(&recent, key)), [Some("answer"), None]);
        assert!(recent.get(&2, |answer| *answer == "better").is_err());
        recent.invalidate_where(|answer| *answer == "answer");
        assert_eq!(known(&recent, 2), None);
        assert_eq!((recent.hits.get(), recent.misses.get()), (3, 7));
    }

    #[test]
    fn answer_from_before_a_change_is_not_kept() {
        for change in [
            (|recent| recent.invalidate(&1)) as fn(&Cache<u32, &'static str>),
            |recent| recent.invalidate_unless(&1, |_| true),
            |recent| recent.invalidate_where(|_| false),
        ] {
            let recent = recent(LONG, 10);
            let began = recent.get(&1, |_| true).expect_err("nothing yet");
            change(&recent);
            recent.insert(1, "as it was before", began);
            assert_eq!(known(&recent, 1), None);
            look_up(&recent, 1, "as it is");
            assert_eq!(known(&recent, 1), Some("as it is"));
        }
    }

    #[test]
    fn answer_is_as_old_as_the_start_of_its_lookup() {
        let life = Duration::from_millis(50);
        let recent = recent(life, 10);
        let began = recent.get(&1, |_| true).expect_err("nothing yet");
        let until = began.at + life;
        while recent.clock.uptime() < began.at + life / 2 {
            std::hint::spin_loop();
        }
        recent.insert(1, "answer", began);
        // Reading the entry does not extend its life.
        while known(&recent, 1).is_some() {
            assert!(recent.clock.uptime() < until + Duration::from_secs(5), "still there");
        }
        assert!(recent.clock.uptime() >= until);
        // The look-up took longer than the lifetime of its result.
        recent.insert(1, "answer", began);
        assert_eq!(known(&recent, 1), None);
    }

    #[test]
    fn cache_is_bounded_and_keeps_the_newest_half() {
        let recent = recent(LONG, 10);
        for key in 0..1_000 {
            look_up(&recent, key, "answer");
            let kept = recent.lock();
            assert!(kept.young.len() + kept.old.len() <= 10);
            drop(kept);
            for newest in key.saturating_sub(4)..=key {
                assert_eq!(known(&recent, newest), Some("answer"));
            }
        }
    }

    #[test]
    fn unused_entry_is_dropped_after_two_lifetimes() {
        let recent = recent(Duration::ZERO, 10);
        look_up(&recent, 1, "answer");
        look_up(&recent, 2, "answer");
        look_up(&recent, 3, "answer");
        let kept = recent.lock();
        assert_eq!((kept.young.contains_key(&3), kept.old.contains_key(&2)), (true, true));
        assert_eq!((kept.young.len(), kept.old.len()), (1, 1));
    }
}
