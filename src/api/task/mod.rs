//! Tasks: handed in by anybody who is logged in, done by workers, watched by their owner.
//!
//! A task waits in the queue of its type until a worker claims it, which gives the worker a lease.
//! The lease token fences, as it does for mutations: only the newest claim may report, so no two
//! workers both believe that a task is theirs, and a worker that comes back from the dead is refused.
//! Reports are numbered, so that one that is sent again because its answer was lost is applied once.
//!
//! One thing ends whatever a worker has left undone: the end of its lease (`lease.rs`). A request to
//! cancel shortens the lease to the grace time and lets nothing make it longer, so forcing the end
//! needs no machinery of its own.

mod artifact;
mod lease;
mod operations;
mod orphan;
mod rows;
mod schema;
mod worker;

use std::sync::Arc;

use async_trait::async_trait;
use entity::task;
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

pub(crate) use operations::Tasks;
pub(super) use worker::Workers;

use schema::{ArtifactChunk, TaskSnapshot, TaskState};

/// Whether a task may go from one status to the other. Everything that changes a status asks here.
fn may_become(from: task::Status, to: task::Status) -> bool {
    use task::Status::{Cancelled, Completed, Failed, Pending, Running};
    matches!(
        (from, to),
        (Pending, Running | Cancelled) | (Running, Pending | Completed | Failed | Cancelled)
    )
}

/// Whether a task of this status has ended.
fn is_end(status: task::Status) -> bool {
    matches!(status, task::Status::Completed | task::Status::Failed | task::Status::Cancelled)
}

/// The events of this family.
const EVENTS: [EventKind; 3] = [
    EventKind {
        kind: "snapshot",
        description: "The present state: first, unless a cursor could be resumed from.",
        schema: crate::family::schema::<TaskSnapshot>,
    },
    EventKind {
        kind: "task.status",
        description: "Something of the task changed, but not its artifacts: it was claimed, noted to go \
                      on, given back, asked to be cancelled, or ended. After `completed`, `failed` or \
                      `cancelled` the stream ends.",
        schema: crate::family::schema::<TaskState>,
    },
    EventKind {
        kind: "task.artifact",
        description: "A chunk of an artifact. Without `append` the artifact begins anew.",
        schema: crate::family::schema::<ArtifactChunk>,
    },
];

#[async_trait]
impl Resources for Tasks {
    fn events(&self) -> &'static [EventKind] {
        &EVENTS
    }

    async fn look_up(&self, gateway: &Gateway, id: Uuid) -> Result<Option<Resource>, DbErr> {
        let row = task::Entity::find_by_id(id).one(gateway.database.reader()).await?;
        Ok(row.map(|row| Resource::of(row.owner)))
    }

    async fn state(
        &self,
        tx: &Transaction,
        id: Uuid,
        reset: Option<crate::family::wire::ResetReason>,
    ) -> Result<Option<State>, DbErr> {
        let Some(row) = task::Entity::find_by_id(id).one(tx).await? else { return Ok(None) };
        let terminal = is_end(row.status);
        let snapshot = TaskSnapshot { task: rows::whole(tx, row).await?, reset };
        Ok(Some(State::new(&snapshot, terminal)))
    }

    async fn cancel_orphans(&self, gateway: &Arc<Gateway>) -> crate::family::Result<()> {
        Ok(orphan::cancel(gateway).await?)
    }

    async fn delete(&self, tx: &Transaction, ids: &[Uuid]) -> Result<bool, DbErr> {
        rows::delete(tx, ids).await?;
        Ok(true)
    }

    async fn end_expired_leases(&self, gateway: &Gateway) -> crate::family::Result<()> {
        lease::end_leases(gateway).await
    }
}

/// The topic of a task.
fn topic(id: Uuid) -> Topic {
    Topic::new(Family::Task, id)
}

#[cfg(test)]
mod tests {
    use sea_orm::Iterable;
    use task::Status::{Cancelled, Completed, Failed, Pending, Running};

    use super::*;

    #[test]
    fn a_task_goes_only_where_it_may_and_never_on_from_its_end() {
        for (from, to) in [
            (Pending, vec![Running, Cancelled]),
            (Running, vec![Pending, Completed, Failed, Cancelled]),
            (Completed, vec![]),
            (Failed, vec![]),
            (Cancelled, vec![]),
        ] {
            let may: Vec<_> = task::Status::iter().filter(|to| may_become(from, *to)).collect();
            assert_eq!(may, to, "from {from:?}");
            assert_eq!(may.is_empty(), is_end(from), "{from:?}");
        }
    }
}
