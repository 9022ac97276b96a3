//! Topologies: made and moved through their life by operators, watched by anybody who is logged in.

mod mutation;
mod operations;
mod rows;
mod schema;

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use entity::{JsonObject, topology};
use poem_openapi::types::ToJSON;
use sea_orm::{DbErr, EntityTrait};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{
    problem::{Problem, Result},
    stream::{self, EventKind},
};
use crate::{
    event::{self, Family, NewEvent, Topic},
    gateway::Gateway,
    hub::{Snapshot, Source},
};

pub(super) use mutation::{Mutations, requeue_expired};
pub(super) use operations::Topologies;
pub(super) use rows::exists;

use mutation::Mutation;
use rows::{RESOURCE, find, lock};
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
pub(super) const EVENTS: [EventKind; 6] = [
    EventKind {
        kind: "snapshot",
        description: "The present state: first, unless a cursor could be resumed from.",
        schema: stream::schema::<TopologySnapshot>,
    },
    EventKind {
        kind: "status",
        description: "The status changed. After `torn_down` the stream ends.",
        schema: stream::schema::<Transition>,
    },
    EventKind {
        kind: "mutation.enqueued",
        description: "A mutation waits for a mutator: a new one, or one whose lease ran out.",
        schema: stream::schema::<Mutation>,
    },
    EventKind {
        kind: "mutation.applying",
        description: "A mutator has claimed the mutation.",
        schema: stream::schema::<Mutation>,
    },
    EventKind {
        kind: "mutation.applied",
        description: "The mutation is done.",
        schema: stream::schema::<Mutation>,
    },
    EventKind {
        kind: "mutation.failed",
        description: "The mutation was given up.",
        schema: stream::schema::<Mutation>,
    },
];

/// Reads the state of a topology for its streams.
struct TopologySource {
    gateway: Arc<Gateway>,
    id: Uuid,
}

#[async_trait]
impl Source for TopologySource {
    async fn snapshot(&self, reset: Option<&'static str>) -> std::result::Result<Snapshot, DbErr> {
        let tx = self.gateway.database.begin_read().await?;
        let cursor = self.gateway.hub.log().position(&tx, &topic(self.id)).await?;
        let row = topology::Entity::find_by_id(self.id).one(&tx).await?;
        let row = row.ok_or_else(|| DbErr::RecordNotFound(topic(self.id).to_string()))?;
        let mutations = mutation::in_flight(&tx, self.id).await?;
        tx.rollback().await?;
        let terminal = row.status == topology::Status::TornDown;
        let snapshot = TopologySnapshot {
            topology: row.into(),
            mutations: mutations.into_iter().map(Mutation::from).collect(),
            reset: reset.map(str::to_owned),
        };
        Ok(Snapshot { cursor, data: event::json(&snapshot.to_json()), terminal })
    }
}

/// The topic of a topology.
pub(super) fn topic(id: Uuid) -> Topic {
    Topic::new(Family::Topology, id)
}

/// Bytes of a JSON object that somebody has us keep. Snapshots and lists hold many of them.
const MAX_OBJECT: usize = 16_384;

/// The object `name` of a request as it is stored, if it is not too large.
fn stored(name: &str, members: BTreeMap<String, Value>) -> Result<JsonObject> {
    let object = JsonObject::from(members.into_iter().collect::<Map<_, _>>());
    if object.as_str().len() > MAX_OBJECT {
        let detail = format!("{name}: more than {MAX_OBJECT} bytes as JSON");
        return Err(Problem::bad_request(detail));
    }
    Ok(object)
}

fn new_event(kind: &str, data: &impl ToJSON) -> Result<NewEvent> {
    NewEvent::new(kind, &data.to_json()).map_err(Problem::internal)
}
