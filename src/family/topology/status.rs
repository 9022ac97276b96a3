//! The statuses of a topology and the transitions between them.

use entity::topology::{
    self,
    Status::{self, Active, Degraded, Deploying, Failed, Pending, TearingDown, TornDown},
};

/// Whether a topology may change from one status to the other. Every change of a topology's status is checked here.
pub(super) fn is_transition(from: Status, to: Status) -> bool {
    matches!(
        (from, to),
        (Pending, Deploying | TornDown)
            | (Deploying, Active | Failed | Degraded | TearingDown)
            | (Active, Degraded | TearingDown)
            | (Degraded, Active | TearingDown)
            | (Failed, TearingDown)
            | (TearingDown, TornDown | Degraded)
    )
}

/// Whether mutations of the topology may be enqueued and claimed.
pub(super) fn accepts_mutations(topology: &topology::Model) -> bool {
    matches!(topology.status, Active | Degraded)
}
