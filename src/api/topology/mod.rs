//! Topologies: made and moved through their life by operators, watched by anybody who is logged in.

mod mutation;
mod operations;
mod rows;
mod schema;

use async_trait::async_trait;
use entity::topology;
use sea_orm::{DbErr, EntityTrait};
use uuid::Uuid;

use super::family::{Resources, State};
use crate::{
    database::Transaction,
    event::{Family, Topic},
    family::EventKind,
    gateway::Gateway,
    visibility::Resource,
};

pub(super) use mutation::Mutations;
use mutation::requeue_expired;
pub(crate) use operations::Topologies;

use mutation::Mutation;
use rows::{find, lock};
use schema::{TopologySnapshot, Transition};

/// Whether a topology may go from one status to the other.
fn may_become(from: topology::Status, to: topology::Status) -> bool {
    use topology::Status::{Active, Degraded, Deploying, Failed, Pending, TearingDown, TornDown};
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

/// The events of this family.
const EVENTS: [EventKind; 6] = [
    EventKind {
        kind: "snapshot",
        description: "The present state: first, unless a cursor could be resumed from.",
        schema: crate::family::schema::<TopologySnapshot>,
    },
    EventKind {
        kind: "status",
        description: "The status changed. After `torn_down` the stream ends.",
        schema: crate::family::schema::<Transition>,
    },
    EventKind {
        kind: "mutation.enqueued",
        description: "A mutation waits for a mutator: a new one, or one whose lease ran out.",
        schema: crate::family::schema::<Mutation>,
    },
    EventKind {
        kind: "mutation.applying",
        description: "A mutator has claimed the mutation.",
        schema: crate::family::schema::<Mutation>,
    },
    EventKind {
        kind: "mutation.applied",
        description: "The mutation is done.",
        schema: crate::family::schema::<Mutation>,
    },
    EventKind {
        kind: "mutation.failed",
        description: "The mutation was given up.",
        schema: crate::family::schema::<Mutation>,
    },
];

#[async_trait]
impl Resources for Topologies {
    fn events(&self) -> &'static [EventKind] {
        &EVENTS
    }

    async fn look_up(&self, gateway: &Gateway, id: Uuid) -> Result<Option<Resource>, DbErr> {
        let row = topology::Entity::find_by_id(id).one(gateway.database.reader()).await?;
        // Everybody who is logged in may see a topology.
        Ok(row.map(|_| Resource::PUBLIC))
    }

    async fn state(
        &self,
        tx: &Transaction,
        id: Uuid,
        reset: Option<String>,
    ) -> Result<Option<State>, DbErr> {
        let Some(row) = topology::Entity::find_by_id(id).one(tx).await? else { return Ok(None) };
        let mutations = mutation::in_flight(tx, id).await?;
        let terminal = row.status == topology::Status::TornDown;
        let mutations = mutations.into_iter().map(Mutation::from).collect();
        let snapshot = TopologySnapshot { topology: row.into(), mutations, reset };
        Ok(Some(State::new(&snapshot, terminal)))
    }

    async fn end_expired_leases(&self, gateway: &Gateway) -> crate::family::Result<()> {
        requeue_expired(gateway).await
    }
}

/// The topic of a topology.
fn topic(id: Uuid) -> Topic {
    Topic::new(Family::Topology, id)
}
