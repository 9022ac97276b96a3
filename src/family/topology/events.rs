//! The events of the family.

use super::{
    mutation::Mutation,
    schema::{TopologySnapshot, Transition},
};
use crate::family::{EventKind, schema};

/// Every kind of event that the stream of a topology can send.
pub(super) const EVENTS: [EventKind; 6] = [
    EventKind {
        kind: "snapshot",
        description: "The topology. The first event, unless the stream resumes after a cursor.",
        schema: schema::<TopologySnapshot>,
    },
    EventKind {
        kind: "status",
        description: "The status changed. The stream ends after `torn_down`.",
        schema: schema::<Transition>,
    },
    EventKind {
        kind: "mutation.enqueued",
        description: "A mutation can be claimed: a new one, or one whose lease expired.",
        schema: schema::<Mutation>,
    },
    EventKind {
        kind: "mutation.applying",
        description: "A worker claimed the mutation.",
        schema: schema::<Mutation>,
    },
    EventKind {
        kind: "mutation.applied",
        description: "The mutation was applied.",
        schema: schema::<Mutation>,
    },
    EventKind {
        kind: "mutation.failed",
        description: "The mutation failed.",
        schema: schema::<Mutation>,
    },
];
