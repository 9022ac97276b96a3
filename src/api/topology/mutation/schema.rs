//! Mutations on the wire.

use std::collections::BTreeMap;

use entity::{Timestamp, mutation};
use poem_openapi::{Object, types::Example};
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::api::{example_id, example_time, mirror, text::Text, topology::schema::example_object};

mirror! {
    /// What is to be done.
    pub(in crate::api::topology) MutationOp <=> mutation::Op {
        AddLan, RemoveLan, AddNode, AttachNode, DetachNode, RemoveNode, UpdateNode, UpdateLan
    }
}

mirror! {
    /// How far a mutation has come.
    pub(in crate::api::topology) MutationState <=> mutation::State { Pending, Applying, Applied, Failed }
}

/// A mutation to be enqueued.
#[derive(Object)]
#[oai(example, deny_unknown_fields)]
pub(super) struct NewMutation {
    /// What is to be done.
    pub(super) op: MutationOp,
    /// With what; at most 16,384 bytes as JSON.
    #[oai(default)]
    pub(super) payload: BTreeMap<String, Value>,
    /// The topology's version that this builds on; another one is a 409.
    pub(super) expected_version: Option<i64>,
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

/// A mutation; also the data of `mutation.*` events.
#[derive(Object)]
#[oai(example, skip_serializing_if_is_none)]
pub(in crate::api::topology) struct Mutation {
    /// Its id.
    pub(super) id: Uuid,
    /// The topology to change.
    pub(super) topology_id: Uuid,
    /// What is to be done.
    pub(super) op: MutationOp,
    /// With what.
    pub(super) payload: BTreeMap<String, Value>,
    /// How far it has come.
    pub(super) state: MutationState,
    /// When it was enqueued.
    pub(super) requested_at: OffsetDateTime,
    /// When it was applied.
    pub(super) applied_at: Option<OffsetDateTime>,
    /// Why it failed.
    pub(super) reason: Option<String>,
    /// How often it was claimed.
    pub(super) attempt: i32,
}

impl From<mutation::Model> for Mutation {
    fn from(row: mutation::Model) -> Self {
        Self {
            id: row.id,
            topology_id: row.topology_id,
            op: row.op.into(),
            payload: row.payload.members().into_iter().collect(),
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

/// What a mutator asks for.
#[derive(Object)]
#[oai(example, deny_unknown_fields)]
pub(super) struct Claim {
    /// How long the claim is to hold; 60 if absent.
    #[oai(validator(minimum(value = "1"), maximum(value = "3600")))]
    pub(super) lease_seconds: Option<u64>,
    /// How many at most; 1 if absent.
    #[oai(validator(minimum(value = "1"), maximum(value = "50")))]
    pub(super) max: Option<u64>,
    /// How long to wait when there is nothing to do, in seconds; 0 if absent. Work that comes through
    /// another gateway on the same database is found one heartbeat later at the latest.
    #[oai(validator(minimum(value = "0"), maximum(value = "60")))]
    pub(super) wait_seconds: Option<u64>,
}

impl Example for Claim {
    fn example() -> Self {
        Self { lease_seconds: Some(60), max: Some(1), wait_seconds: Some(0) }
    }
}

/// A mutation under a lease.
#[derive(Object)]
#[oai(example)]
pub(super) struct Claimed {
    /// The mutation.
    pub(super) mutation: Mutation,
    /// How often it has been claimed, this time included.
    pub(super) attempt: i32,
    /// Shows in the report that this claim is still the newest.
    pub(super) lease_token: Uuid,
    /// Until when the claim holds. After that the mutation is pending again.
    pub(super) lease_expires_at: OffsetDateTime,
}

impl Example for Claimed {
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

mirror! {
    /// How a mutation ended.
    pub(super) Outcome = mutation::State { Applied, Failed }
}

/// How a claimed mutation ended.
#[derive(Object)]
#[oai(example, deny_unknown_fields)]
pub(super) struct Report {
    /// The token of the claim.
    pub(super) lease_token: Uuid,
    /// How it ended.
    pub(super) state: Outcome,
    /// Why it failed.
    #[oai(validator(max_length = 1000, pattern = r"^[^\x00]*$"))]
    pub(super) reason: Option<Text>,
}

impl Example for Report {
    fn example() -> Self {
        Self {
            lease_token: example_id(),
            state: Outcome::Failed,
            reason: Some("the node does not answer".into()),
        }
    }
}
