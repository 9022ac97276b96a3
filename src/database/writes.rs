//! Whether the database takes writes.
//!
//! A fault is noticed where it happens: by the statement or the commit that fails. From then on the
//! gateway is not ready, and a probe writes once a second until that works. A probe is a row of its
//! own, large enough that room for a few bytes does not count as healed.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};
use tokio::sync::Notify;

use super::failure::Fault;

/// A write that succeeded this long ago still proves that the database takes writes.
const FRESH: Duration = Duration::from_secs(5);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByCause {
    cause: &'static str,
}

/// See above.
#[derive(Debug)]
pub(super) struct Writes {
    began: Instant,
    /// The fault, and since when writes fail.
    failing: Mutex<Option<(Fault, Instant)>>,
    /// When the newest write succeeded, in microseconds after `began`; 0 before the first.
    succeeded: AtomicU64,
    /// Told when writes begin to fail.
    failed: Notify,
    writable: Gauge,
    faults: Family<ByCause, Counter>,
}

impl Writes {
    pub(super) fn new() -> Self {
        let writes = Self {
            began: Instant::now(),
            failing: Mutex::default(),
            succeeded: AtomicU64::new(0),
            failed: Notify::new(),
            writable: Gauge::default(),
            faults: Family::default(),
        };
        writes.writable.set(1);
        for fault in Fault::ALL {
            drop(writes.faults.get_or_create(&ByCause { cause: fault.name() }));
        }
        writes
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "database_writable",
            "1 while the database takes writes, 0 while they fail",
            self.writable.clone(),
        );
        registry.register(
            "database_faults",
            "Statements and commits that failed because the database cannot do its work, by cause",
            self.faults.clone(),
        );
    }

    /// A write failed because of this fault.
    pub(super) fn failed(&self, fault: Fault) {
        self.faults.get_or_create(&ByCause { cause: fault.name() }).inc();
        let before = {
            let mut failing = self.failing();
            let since = failing.map_or_else(Instant::now, |(_, since)| since);
            failing.replace((fault, since))
        };
        if before.is_none_or(|(before, _)| before != fault) {
            tracing::error!(cause = fault.name(), "the database does not take writes");
        }
        self.writable.set(0);
        self.failed.notify_one();
    }

    /// A transaction that wrote, or a single statement, was committed.
    pub(super) fn succeeded(&self) {
        let micros = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.succeeded.store(micros.max(1), Ordering::Relaxed);
    }

    /// A probe of full size was committed.
    pub(super) fn healed(&self) {
        self.succeeded();
        let Some((fault, since)) = self.failing().take() else { return };
        self.writable.set(1);
        let seconds = since.elapsed().as_secs();
        tracing::info!(cause = fault.name(), seconds, "the database takes writes again");
    }

    /// Why writes fail, if they do.
    pub(super) fn fault(&self) -> Option<Fault> {
        self.failing().map(|(fault, _)| fault)
    }

    /// Whether a write has succeeded a moment ago.
    pub(super) fn is_fresh(&self) -> bool {
        let micros = self.succeeded.load(Ordering::Relaxed);
        micros > 0 && self.began.elapsed() < Duration::from_micros(micros) + FRESH
    }

    /// Waits until writes fail.
    pub(super) async fn failure(&self) {
        while self.fault().is_none() {
            self.failed.notified().await;
        }
    }

    fn failing(&self) -> MutexGuard<'_, Option<(Fault, Instant)>> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
