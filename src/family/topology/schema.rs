//! Topologies on the wire.

use entity::{topology, topology_transition};
use poem_openapi::{Object, types::Example};
use time::OffsetDateTime;
use uuid::Uuid;

use super::mutation::Mutation;
use crate::family::{
    count_with_size,
    wire::{AnyObject, ResetReason, Text, example_id, example_object, example_time, wire_enum},
};

wire_enum! {
    /// Status of a topology.
    pub TopologyStatus <=> topology::Status {
        /// Created, and not deployed yet.
        Pending,
        /// Deployment has begun.
        Deploying,
        /// Deployed and working.
        Active,
        /// Deployed, and not fully working.
        Degraded,
        /// Deployment failed.
        Failed,
        /// Removal has begun.
        TearingDown,
        /// Removed. No other status follows.
        TornDown,
    }
}

/// A topology to create.
#[derive(Object)]
#[oai(example, deny_unknown_fields)]
pub struct NewTopology {
    /// Display name, 1 to 128 characters. Unique among topologies.
    #[oai(validator(min_length = 1, max_length = 128, pattern = r"^[^\x00-\x1f\x7f]+$"))]
    pub name: Text,
    /// Mode of operation: 1 to 64 characters of your choice. The gateway does not interpret them. The default is
    /// `standard`.
    #[oai(validator(min_length = 1, max_length = 64, pattern = r"^[^\x00-\x1f\x7f]+$"))]
    pub mode: Option<Text>,
    /// Configuration of the topology, at most 16,384 bytes as JSON. The default is an empty object.
    pub config: Option<AnyObject>,
}

impl Example for NewTopology {
    fn example() -> Self {
        Self {
            name: "lab-7".into(),
            mode: Some("standard".into()),
            config: Some(example_object("lans", 2)),
        }
    }
}

/// A topology.
#[derive(Object)]
#[oai(example)]
pub struct Topology {
    /// Topology id.
    pub id: Uuid,
    /// Display name, unique among topologies.
    pub name: String,
    /// Mode of operation, as given at creation.
    pub mode: String,
    /// Configuration of the topology. Empty if none was given.
    pub config: AnyObject,
    /// Status of the topology.
    pub status: TopologyStatus,
    /// Time of the last change of the status, UTC.
    pub status_changed_at: OffsetDateTime,
    /// Version of the topology: 1 after its creation, plus 1 for each transition and each enqueued mutation.
    pub version: i64,
    /// Time of creation, UTC.
    pub created_at: OffsetDateTime,
}

impl From<topology::Model> for Topology {
    fn from(row: topology::Model) -> Self {
        Self {
            id: row.id,
            name: row.name,
            mode: row.mode,
            config: AnyObject(row.config),
            status: row.status.into(),
            status_changed_at: row.status_changed_at.datetime(),
            version: row.version,
            created_at: row.created_at.datetime(),
        }
    }
}

impl Example for Topology {
    fn example() -> Self {
        Self {
            id: example_id(),
            name: "lab-7".to_owned(),
            mode: "standard".to_owned(),
            config: example_object("lans", 2),
            status: TopologyStatus::Active,
            status_changed_at: example_time(),
            version: 3,
            created_at: example_time(),
        }
    }
}

/// A new status of a topology.
#[derive(Object)]
#[oai(example, deny_unknown_fields)]
pub struct NewStatus {
    /// Status after the change. 409 if the transition is not allowed.
    pub status: TopologyStatus,
    /// Reason for the change, at most 1,000 characters. The audit trail records it.
    #[oai(validator(max_length = 1000, pattern = r"^[^\x00]*$"))]
    pub reason: Option<Text>,
}

impl Example for NewStatus {
    fn example() -> Self {
        Self { status: TopologyStatus::Deploying, reason: Some("requested by team net".into()) }
    }
}

/// A transition: a change of a topology's status. Also the data of a `status` event.
#[derive(Object)]
#[oai(example, skip_serializing_if_is_none)]
pub struct Transition {
    /// Topology id.
    pub topology_id: Uuid,
    /// Status before the change.
    pub from: TopologyStatus,
    /// Status after the change.
    pub to: TopologyStatus,
    /// Time of the change, UTC.
    pub at: OffsetDateTime,
    /// Reason for the change. Absent if none was given.
    pub reason: Option<String>,
    /// Id of the user that changed the status.
    pub user_id: Uuid,
}

impl From<topology_transition::Model> for Transition {
    fn from(row: topology_transition::Model) -> Self {
        Self {
            topology_id: row.topology_id,
            from: row.from_status.into(),
            to: row.to_status.into(),
            at: row.at.datetime(),
            reason: row.reason,
            user_id: row.user_id,
        }
    }
}

impl Example for Transition {
    fn example() -> Self {
        Self {
            topology_id: example_id(),
            from: TopologyStatus::Deploying,
            to: TopologyStatus::Active,
            at: example_time(),
            reason: Some("all nodes are up".to_owned()),
            user_id: example_id(),
        }
    }
}

/// The data of a `snapshot` event: the topology after all events up to the event's `id`.
#[derive(Object)]
#[oai(example, skip_serializing_if_is_none)]
pub struct TopologySnapshot {
    /// The topology.
    pub topology: Topology,
    /// Mutations that are `pending` or `applying`, oldest first. At most 200, and those that fit into 500,000 bytes of
    /// JSON.
    pub mutations: Vec<Mutation>,
    /// Number of these mutations that did not fit: the newest ones. Absent if the snapshot has all of them. The
    /// operation `List mutations` returns them: send the id of the last mutation here as `after`.
    pub mutations_left_out: Option<usize>,
    /// Reason why the stream starts over. Absent if it does not start over.
    pub reset: Option<ResetReason>,
}

impl Example for TopologySnapshot {
    fn example() -> Self {
        Self {
            topology: Topology::example(),
            mutations: vec![Mutation::example()],
            mutations_left_out: Some(3),
            reset: None,
        }
    }
}

impl TopologySnapshot {
    /// Leaves the newest mutations out, so that at least `bytes` bytes are removed.
    pub(super) fn shorten(&mut self, bytes: usize) -> bool {
        let count = count_with_size(self.mutations.iter().rev(), bytes);
        self.mutations.truncate(self.mutations.len() - count);
        *self.mutations_left_out.get_or_insert_default() += count;
        count > 0
    }
}
