//! The row of a task.

use entity::{Timestamp, task};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, IntoActiveModel,
    QueryFilter, QuerySelect,
};
use uuid::Uuid;

use super::{
    artifact::Artifacts,
    schema::{Task, TaskStatus},
    status::{is_terminal, is_transition},
};
use crate::{
    database::Transaction,
    event::{Family, Topic},
    family::{FamilyError, Result},
    visibility::Resource,
};

/// The topic of a task.
#[must_use]
pub fn topic(id: Uuid) -> Topic {
    Topic::new(Family::Task, id)
}

/// A task is visible to its owner.
pub(super) fn resource(row: &task::Model) -> Resource {
    Resource { needs_grant: row.requires.is_some(), ..Resource::owned_by(row.owner_id) }
}

/// Locks a task until the transaction ends. Every change of a task or its artifacts locks this row first, and then the
/// event log. So two changes cannot deadlock.
pub(super) async fn lock(tx: &Transaction, id: Uuid) -> Result<task::Model> {
    let row = task::Entity::find_by_id(id).lock_exclusive().one(tx).await?;
    row.ok_or(FamilyError::NotFound)
}

/// The task with its artifacts, which are read from the database.
pub(super) async fn with_artifacts(
    connection: &impl ConnectionTrait,
    row: task::Model,
) -> std::result::Result<Task, DbErr> {
    let artifacts = Artifacts::load(connection, row.id).await?;
    Ok(task_with(row, &artifacts))
}

/// The task with these artifacts.
pub(super) fn task_with(row: task::Model, artifacts: &Artifacts) -> Task {
    Task { artifacts: Some(artifacts.joined()), ..row.into() }
}

/// The change of a locked task to another status. The change also ends the lease. Refuses a transition that is not
/// allowed.
pub(super) fn transition(
    row: task::Model,
    to: task::Status,
    now: Timestamp,
) -> Result<task::ActiveModel> {
    if !is_transition(row.status, to) {
        let (from, to) = (TaskStatus::from(row.status), TaskStatus::from(to));
        return Err(FamilyError::conflict(format!("a task that is {from} cannot become {to}")));
    }
    let mut change = row.into_active_model();
    change.status = Set(to);
    change.updated_at = Set(now);
    change.lease_expires_at = Set(None);
    if to == task::Status::Pending {
        change.lease_token = Set(None);
    }
    if is_terminal(to) {
        change.completed_at = Set(Some(now));
    }
    Ok(change)
}

/// The status of a task after a release or the end of its lease: pending, or cancelled if cancellation was requested.
pub(super) fn status_after_release(row: &task::Model) -> task::Status {
    match row.cancel_by {
        None => task::Status::Pending,
        Some(_) => task::Status::Cancelled,
    }
}

/// Deletes tasks. The database deletes their artifacts with them.
pub(super) async fn delete(tx: &Transaction, ids: &[Uuid]) -> std::result::Result<(), DbErr> {
    let tasks = task::Entity::delete_many().filter(task::Column::Id.is_in(ids.iter().copied()));
    tasks.exec(tx).await.map(drop)
}
