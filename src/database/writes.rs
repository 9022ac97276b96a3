//! Tracks whether the database accepts writes.
//!
//! A failed statement or commit reports its fault here. Then the gateway is not ready, and a probe writes once a second
//! until it succeeds. The probe writes its own row. The row is large, so that a few free bytes on the disk do not count
//! as a recovery. A lost connection, or a connection that cannot be opened, only starts a probe, because other
//! connections may work.

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

/// Time for which a successful write proves that the database accepts writes.
const PROOF_LIFETIME: Duration = Duration::from_secs(5);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByCause {
    cause: &'static str,
}

/// An outage of writes.
#[derive(Debug)]
struct Outage {
    fault: Fault,
    since: Instant,
    /// Number of faults since the outage began. Shows whether a fault came during a probe.
    faults: u64,
}

/// The state of writes, shared by all pools that write.
#[derive(Debug)]
pub(super) struct Writes {
    began: Instant,
    failing: Mutex<Option<Outage>>,
    /// Time of the newest successful write, in microseconds after `began`. 0 before the first.
    succeeded: AtomicU64,
    /// Notified when there is a reason for a probe.
    probe_needed: Notify,
    writable: Gauge,
    faults: Family<ByCause, Counter>,
}

impl Writes {
    pub(super) fn new() -> Self {
        let writes = Self {
            began: Instant::now(),
            failing: Mutex::default(),
            succeeded: AtomicU64::new(0),
            probe_needed: Notify::new(),
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
            "1 while the database accepts writes, 0 while writes fail",
            self.writable.clone(),
        );
        registry.register(
            "database_faults",
            "Statements and commits that failed because of a fault of the database, by cause",
            self.faults.clone(),
        );
    }

    /// Counts a statement or a commit that failed because of this fault.
    pub(super) fn count(&self, fault: Fault) {
        self.faults.get_or_create(&ByCause { cause: fault.name() }).inc();
    }

    /// Starts or continues an outage with this fault.
    pub(super) fn failed(&self, fault: Fault) {
        {
            let mut failing = self.failing();
            match &mut *failing {
                None => {
                    *failing = Some(Outage { fault, since: Instant::now(), faults: 1 });
                    tracing::error!(cause = fault.name(), "the database does not accept writes");
                }
                Some(failing) => {
                    failing.faults += 1;
                    // A damaged file stays damaged, so a later fault does not replace this one.
                    if failing.fault != Fault::Corrupt {
                        failing.fault = fault;
                    }
                }
            }
        }
        self.writable.set(0);
        self.probe_needed.notify_one();
    }

    /// Asks for a probe after a failure that may mean that writes fail.
    pub(super) fn request_probe(&self) {
        self.probe_needed.notify_one();
    }

    /// Records that a transaction with a write, or a single statement, was committed.
    pub(super) fn succeeded(&self) {
        let micros = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.succeeded.store(micros.max(1), Ordering::Relaxed);
    }

    /// Ends the outage after a successful probe. `faults` is the number of faults before the probe. If another fault
    /// came since then, the outage continues.
    pub(super) fn recovered(&self, faults: u64) {
        self.succeeded();
        let mut failing = self.failing();
        let Some(Outage { fault, since, .. }) =
            failing.take_if(|failing| failing.faults == faults && failing.fault != Fault::Corrupt)
        else {
            return;
        };
        self.writable.set(1);
        drop(failing);
        let seconds = since.elapsed().as_secs();
        tracing::info!(cause = fault.name(), seconds, "the database accepts writes again");
    }

    /// The fault of the current outage, and its number of faults. `None` while writes work.
    pub(super) fn outage(&self) -> Option<(Fault, u64)> {
        self.failing().as_ref().map(|failing| (failing.fault, failing.faults))
    }

    /// The fault of the current outage. `None` while writes work.
    pub(super) fn fault(&self) -> Option<Fault> {
        self.outage().map(|(fault, _)| fault)
    }

    /// Whether a write has succeeded within [`PROOF_LIFETIME`].
    pub(super) fn is_fresh(&self) -> bool {
        let micros = self.succeeded.load(Ordering::Relaxed);
        micros > 0 && self.began.elapsed() < Duration::from_micros(micros) + PROOF_LIFETIME
    }

    /// Waits until there is a reason for a probe. Returns at once during an outage.
    pub(super) async fn probe_needed(&self) {
        if self.fault().is_none() {
            self.probe_needed.notified().await;
        }
    }

    fn failing(&self) -> MutexGuard<'_, Option<Outage>> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
