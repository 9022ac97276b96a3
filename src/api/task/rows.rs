//! Tasks' rows: how they are locked and changed, and the event that tells of it.

use entity::{Timestamp, task};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, IntoActiveModel,
    QueryFilter, QuerySelect,
};
use uuid::Uuid;

use super::{
    artifact::Artifacts,
    is_end, may_become,
    schema::{Task, TaskState, TaskStatus},
};
use crate::{
    api::{
        family::new_event,
        problem::{Problem, Result},
    },
    database::Transaction,
    event::NewEvent,
};

/// The task, locked until the transaction ends, or 404. Everything that changes a task or its
/// artifacts locks this row first, and the log after it.
pub(super) async fn lock(tx: &Transaction, id: Uuid) -> Result<task::Model> {
    let row = task::Entity::find_by_id(id).lock_exclusive().one(tx).await?;
    row.ok_or_else(Problem::not_found)
}

/// The task with its artifacts.
pub(super) async fn whole(
    connection: &impl ConnectionTrait,
    row: task::Model,
) -> std::result::Result<Task, DbErr> {
    let artifacts = Artifacts::of(connection, row.id).await?;
    Ok(with(row, &artifacts))
}

/// The same with artifacts that are at hand.
pub(super) fn with(row: task::Model, artifacts: &Artifacts) -> Task {
    Task { artifacts: Some(artifacts.joined()), ..row.into() }
}

/// A change of status, or 409.
pub(super) fn turn(
    row: task::Model,
    to: task::Status,
    now: Timestamp,
) -> Result<task::ActiveModel> {
    if !may_become(row.status, to) {
        return Err(Problem::conflict(format!(
            "a task that is {} cannot become {}",
            TaskStatus::from(row.status),
            TaskStatus::from(to)
        )));
    }
    let mut change = row.into_active_model();
    change.status = Set(to);
    change.updated_at = Set(now);
    change.lease_expires_at = Set(None);
    if to == task::Status::Pending {
        change.lease_token = Set(None);
    }
    if is_end(to) {
        change.completed_at = Set(Some(now));
    }
    Ok(change)
}

/// Where a task goes that its worker does no more: back to the queue, unless somebody has asked for
/// its end.
pub(super) fn given_up(row: &task::Model) -> task::Status {
    match row.cancel_by {
        None => task::Status::Pending,
        Some(_) => task::Status::Cancelled,
    }
}

/// The event that tells how a task stands.
pub(super) fn event(row: &task::Model) -> Result<NewEvent> {
    let event = new_event("task.status", &TaskState::from(row.clone()))?;
    Ok(if is_end(row.status) { event.terminal() } else { event })
}

/// Deletes tasks, and with them their artifacts.
pub(super) async fn delete(tx: &Transaction, ids: &[Uuid]) -> std::result::Result<(), DbErr> {
    let those = task::Entity::delete_many().filter(task::Column::Id.is_in(ids.iter().copied()));
    those.exec(tx).await.map(drop)
}
