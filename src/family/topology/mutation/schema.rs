//! Mutations on the wire.

use entity::{Timestamp, mutation};
use poem_openapi::{Object, types::Example};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::family::wire::{AnyObject, Text, example_id, example_object, example_time, wire_enum};

wire_enum! {
    /// Operation of a mutation.
    pub MutationOp <=> mutation::Op {
        /// Add a LAN.
        AddLan,
        /// Remove a LAN.
        RemoveLan,
        /// Add a node.
        AddNode,
        /// Attach a node to a LAN.
        AttachNode,
        /// Detach a node from a LAN.
        DetachNode,
        /// Remove a node.
        RemoveNode,
        /// Change a node.
        UpdateNode,
        /// Change a LAN.
        UpdateLan,
    }
}

wire_enum! {
    /// State of a mutation.
    pub MutationState <=> mutation::State {
        /// Waiting for a worker.
        Pending,
        /// Claimed by a worker.
        Applying,
        /// A worker reported that the mutation was applied.
        Applied,
        /// A worker reported that the mutation failed, or the topology was torn down.
        Failed,
    }
}

/// A mutation to enqueue.
#[derive(Object)]
#[oai(example, deny_unknown_fields)]
pub struct NewMutation {
    /// Operation to apply.
    pub op: MutationOp,
    /// Parameters of the operation, at most 16,384 bytes as JSON. The default is an empty object.
    #[oai(default)]
    pub payload: AnyObject,
    /// Version of the topology that the mutation is based on. If the topology has another version, the request is
    /// refused with 409. If absent, the version is not checked.
    pub expected_version: Option<i64>,
}

impl Example for NewMutation {
    fn example() -> Self {
        Self {
            op: MutationOp::AddNode,
            payload: example_object("node", 4),
            expected_version: Some(3),
        }
    }
}

/// A mutation. Also the data of `mutation.*` events.
#[derive(Object)]
#[oai(example, skip_serializing_if_is_none)]
pub struct Mutation {
    /// Mutation id.
    pub id: Uuid,
    /// Topology id.
    pub topology_id: Uuid,
    /// Operation to apply.
    pub op: MutationOp,
    /// Parameters of the operation. Empty if it has none.
    pub payload: AnyObject,
    /// State of the mutation.
    pub state: MutationState,
    /// Time at which the mutation was enqueued, UTC.
    pub requested_at: OffsetDateTime,
    /// Time at which a worker reported the mutation as applied, UTC. Absent unless the state is `applied`.
    pub applied_at: Option<OffsetDateTime>,
    /// Reason for the outcome, such as the cause of a failure. Absent if none was given.
    pub reason: Option<String>,
    /// Number of claims so far. 0 before the first claim.
    pub attempt: i32,
}

impl From<mutation::Model> for Mutation {
    fn from(row: mutation::Model) -> Self {
        Self {
            id: row.id,
            topology_id: row.topology_id,
            op: row.op.into(),
            payload: AnyObject(row.payload),
            state: row.state.into(),
            requested_at: row.requested_at.datetime(),
            applied_at: row.applied_at.map(Timestamp::datetime),
            reason: row.reason,
            attempt: row.attempt,
        }
    }
}

impl Example for Mutation {
    fn example() -> Self {
        Self {
            id: example_id(),
            topology_id: example_id(),
            op: MutationOp::AddNode,
            payload: example_object("node", 4),
            state: MutationState::Pending,
            requested_at: example_time(),
            applied_at: None,
            reason: None,
            attempt: 0,
        }
    }
}

/// A request to claim mutations.
#[derive(Object)]
#[oai(example, deny_unknown_fields)]
pub struct ClaimMutations {
    /// Duration of the lease, in seconds, from 1 to 3,600. The default is 60. The lease cannot be renewed.
    #[oai(validator(minimum(value = "1"), maximum(value = "3600")))]
    pub lease_seconds: Option<u64>,
    /// Maximum number of mutations, from 1 to 50. The default is 1.
    #[oai(validator(minimum(value = "1"), maximum(value = "50")))]
    pub max: Option<u64>,
    /// Maximum time to wait for a mutation if none can be claimed, in seconds, from 0 to 60. The default is 0. A
    /// mutation that is enqueued through another gateway is found with the next heartbeat.
    #[oai(validator(minimum(value = "0"), maximum(value = "60")))]
    pub wait_seconds: Option<u64>,
}

impl Example for ClaimMutations {
    fn example() -> Self {
        Self { lease_seconds: Some(60), max: Some(1), wait_seconds: Some(0) }
    }
}

/// A mutation under a lease.
#[derive(Object)]
#[oai(example)]
pub struct ClaimedMutation {
    /// The mutation.
    pub mutation: Mutation,
    /// Number of claims so far, this one included.
    pub attempt: i32,
    /// Lease token of the claim. Send it with the report. Only the token of the newest claim is accepted.
    pub lease_token: Uuid,
    /// Time at which the lease expires and the mutation is pending again, UTC.
    pub lease_expires_at: OffsetDateTime,
}

impl Example for ClaimedMutation {
    fn example() -> Self {
        Self {
            mutation: Mutation {
                state: MutationState::Applying,
                attempt: 1,
                ..Mutation::example()
            },
            attempt: 1,
            lease_token: example_id(),
            lease_expires_at: example_time(),
        }
    }
}

wire_enum! {
    /// Outcome of a mutation.
    pub MutationOutcome = mutation::State {
        /// The mutation was applied.
        Applied,
        /// The mutation failed.
        Failed,
    }
}

/// A report of the outcome of a claimed mutation.
#[derive(Object)]
#[oai(example, deny_unknown_fields)]
pub struct MutationReport {
    /// Lease token of the claim.
    pub lease_token: Uuid,
    /// Outcome of the mutation.
    pub state: MutationOutcome,
    /// Reason for the outcome, such as the cause of a failure, at most 1,000 characters.
    #[oai(validator(max_length = 1000, pattern = r"^[^\x00]*$"))]
    pub reason: Option<Text>,
}

impl Example for MutationReport {
    fn example() -> Self {
        Self {
            lease_token: example_id(),
            state: MutationOutcome::Failed,
            reason: Some("the node does not respond".into()),
        }
    }
}
