//! Whether the database takes writes.
//!
//! A fault is noticed where it happens: by the statement or the commit that fails. From then on the
//! gateway is not ready, and a probe writes once a second until that works. The probe has a row for
//! itself, large enough that room for a few bytes does not count as healed. A connection that was
//! cut, or that could not be had, only gives a reason for a probe: others may work.

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

/// An outage.
#[derive(Debug)]
struct Failing {
    fault: Fault,
    since: Instant,
    /// Faults since it began, to tell whether one came after a probe.
    faults: u64,
}

/// See above.
#[derive(Debug)]
pub(super) struct Writes {
    began: Instant,
    failing: Mutex<Option<Failing>>,
    /// Time of the newest successful write, in microseconds after `began`. 0 before the first.
    succeeded: AtomicU64,
    /// Told when there is a reason for a probe.
    trouble: Notify,
    writable: Gauge,
    faults: Family<ByCause, Counter>,
}

impl Writes {
    pub(super) fn new() -> Self {
        let writes = Self {
            began: Instant::now(),
            failing: Mutex::default(),
            succeeded: AtomicU64::new(0),
            trouble: Notify::new(),
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

    /// A statement or a commit failed because of this fault.
    pub(super) fn count(&self, fault: Fault) {
        self.faults.get_or_create(&ByCause { cause: fault.name() }).inc();
    }

    /// Writes fail because of this fault.
    pub(super) fn failed(&self, fault: Fault) {
        {
            let mut failing = self.failing();
            match &mut *failing {
                None => {
                    *failing = Some(Failing { fault, since: Instant::now(), faults: 1 });
                    tracing::error!(cause = fault.name(), "the database does not take writes");
                }
                Some(failing) => {
                    failing.faults += 1;
                    // Damage stays, whatever error follows.
                    if failing.fault != Fault::Corrupt {
                        failing.fault = fault;
                    }
                }
            }
        }
        self.writable.set(0);
        self.trouble.notify_one();
    }

    /// Something failed that may mean that writes fail: a probe is to find out.
    pub(super) fn suspect(&self) {
        self.trouble.notify_one();
    }

    /// A transaction that wrote, or a single statement, was committed.
    pub(super) fn succeeded(&self) {
        let micros = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.succeeded.store(micros.max(1), Ordering::Relaxed);
    }

    /// A probe of full size was committed. `faults` is the number of faults before it.
    pub(super) fn healed(&self, faults: u64) {
        self.succeeded();
        let mut failing = self.failing();
        let Some(Failing { fault, since, .. }) =
            failing.take_if(|failing| failing.faults == faults && failing.fault != Fault::Corrupt)
        else {
            return;
        };
        self.writable.set(1);
        drop(failing);
        let seconds = since.elapsed().as_secs();
        tracing::info!(cause = fault.name(), seconds, "the database takes writes again");
    }

    /// Why writes fail, if they do, and the number of faults since they began to.
    pub(super) fn outage(&self) -> Option<(Fault, u64)> {
        self.failing().as_ref().map(|failing| (failing.fault, failing.faults))
    }

    /// Why writes fail, if they do.
    pub(super) fn fault(&self) -> Option<Fault> {
        self.outage().map(|(fault, _)| fault)
    }

    /// Whether a write has succeeded a moment ago.
    pub(super) fn is_fresh(&self) -> bool {
        let micros = self.succeeded.load(Ordering::Relaxed);
        micros > 0 && self.began.elapsed() < Duration::from_micros(micros) + FRESH
    }

    /// Waits until there is a reason for a probe.
    pub(super) async fn trouble(&self) {
        if self.fault().is_none() {
            self.trouble.notified().await;
        }
    }

    fn failing(&self) -> MutexGuard<'_, Option<Failing>> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
