//! Topologies on the wire.

use std::collections::BTreeMap;

use entity::{topology, topology_transition};
use poem_openapi::{Object, types::Example};
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use super::mutation::Mutation;
use crate::api::{example_id, example_time, mirror, text::Text};

mirror! {
    /// Where a topology stands in its life.
    pub(in crate::api) TopologyStatus <=> topology::Status {
        Pending, Deploying, Active, Degraded, Failed, TearingDown, TornDown
    }
}

/// A topology to be made.
#[derive(Object)]
#[oai(example, deny_unknown_fields)]
pub(super) struct NewTopology {
    /// A name for people, unlike any other topology's.
    #[oai(validator(min_length = 1, max_length = 128, pattern = r"^[^\x00-\x1f\x7f]+$"))]
    pub(super) name: Text,
    /// How it is run, in a word of yours; `standard` if absent.
    #[oai(validator(min_length = 1, max_length = 64, pattern = r"^[^\x00-\x1f\x7f]+$"))]
    pub(super) mode: Option<Text>,
    /// Whatever describes it; at most 16,384 bytes as JSON.
    pub(super) config: Option<BTreeMap<String, Value>>,
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
pub(super) struct Topology {
    /// Its id.
    pub(super) id: Uuid,
    /// Its name.
    pub(super) name: String,
    /// How it is run.
    pub(super) mode: String,
    /// Whatever describes it.
    pub(super) config: BTreeMap<String, Value>,
    /// Where it stands.
    pub(super) status: TopologyStatus,
    /// Since when.
    pub(super) status_changed_at: OffsetDateTime,
    /// Counts accepted changes: every change of status and every mutation enqueued.
    pub(super) version: i64,
    /// When it was made.
    pub(super) created_at: OffsetDateTime,
}

impl From<topology::Model> for Topology {
    fn from(row: topology::Model) -> Self {
        Self {
            id: row.id,
            name: row.name,
            mode: row.mode,
            config: row.config.members().into_iter().collect(),
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

/// A status to be taken.
#[derive(Object)]
#[oai(example, deny_unknown_fields)]
pub(super) struct NewStatus {
    /// The status to take.
    pub(super) status: TopologyStatus,
    /// Why, for the audit trail.
    #[oai(validator(max_length = 1000, pattern = r"^[^\x00]*$"))]
    pub(super) reason: Option<Text>,
}

impl Example for NewStatus {
    fn example() -> Self {
        Self { status: TopologyStatus::Deploying, reason: Some("requested by team net".into()) }
    }
}

/// One change of a topology's status: a row of the audit trail, and the data of a `status` event.
#[derive(Object)]
#[oai(example, skip_serializing_if_is_none)]
pub(super) struct Transition {
    /// The topology.
    pub(super) topology_id: Uuid,
    /// What it was.
    pub(super) from: TopologyStatus,
    /// What it became.
    pub(super) to: TopologyStatus,
    /// When.
    pub(super) at: OffsetDateTime,
    /// Why.
    pub(super) reason: Option<String>,
    /// Who changed it.
    pub(super) user_id: Uuid,
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

/// The first event of a stream: the state at one moment, which its `id` names.
#[derive(Object)]
#[oai(example, skip_serializing_if_is_none)]
pub(super) struct TopologySnapshot {
    /// The topology.
    pub(super) topology: Topology,
    /// Mutations that are neither applied nor failed, oldest first.
    pub(super) mutations: Vec<Mutation>,
    /// Why the stream starts over: `unknown_cursor` (your cursor is not one of this stream's), `pruned`
    /// (the events after it are no longer kept) or `replaced` (the database was restored from a
    /// backup, and other events have the numbers of those that you saw). Drop what you have and begin
    /// with this state. Absent in every other snapshot.
    pub(super) reset: Option<String>,
}

impl Example for TopologySnapshot {
    fn example() -> Self {
        Self { topology: Topology::example(), mutations: vec![Mutation::example()], reset: None }
    }
}

pub(super) fn example_object(key: &str, value: i64) -> BTreeMap<String, Value> {
    BTreeMap::from([(key.to_owned(), Value::from(value))])
}
