//! Reads tasks.

use entity::{task, user::Role};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;

use super::{
    rows::{topic, with_artifacts},
    schema::{Task, TaskStatus},
};
use crate::{
    auth::login_session::Principal,
    event::Cursor,
    family::{
        FamilyError, Result, find_visible,
        wire::{Page, page_limit},
    },
    gateway::Gateway,
};

/// The conditions for the tasks of a list.
pub struct TaskFilter {
    /// Only tasks with this status. `None` allows every status.
    pub status: Option<TaskStatus>,
    /// Only tasks of this type. `None` allows every type.
    pub task_type: Option<String>,
}

/// A page of the caller's tasks, oldest first and without artifacts. An administrator gets the tasks of all
/// users.
pub async fn list(
    gateway: &Gateway,
    principal: &Principal,
    filter: TaskFilter,
    (after, limit): (Option<Uuid>, Option<u64>),
) -> Result<Page<Task>> {
    let limit = page_limit(limit);
    let mut query = task::Entity::find()
        .filter(task::Column::Id.gt(after.unwrap_or(Uuid::nil())))
        .order_by_asc(task::Column::Id)
        .limit(limit + 1);
    if principal.role < Role::Admin {
        query = query.filter(task::Column::OwnerId.eq(principal.user_id));
    }
    if let Some(status) = filter.status {
        query = query.filter(task::Column::Status.eq(task::Status::from(status)));
    }
    if let Some(task_type) = filter.task_type {
        query = query.filter(task::Column::TaskType.eq(task_type));
    }
    let rows = query.all(gateway.database.reader()).await?;
    let bytes = |row: &task::Model| {
        [&row.input, &row.output].into_iter().flatten().map(|json| json.as_str().len()).sum()
    };
    Ok(Page::new(rows, limit, |row| (row.id, bytes(row))))
}

/// A task that the caller may see, with its artifacts, and the cursor of the newest event that this state includes.
///
/// # Errors
/// [`FamilyError::NotFound`] if the task does not exist or is not visible to the caller.
pub async fn get(gateway: &Gateway, principal: &Principal, id: Uuid) -> Result<(Task, Cursor)> {
    find_visible(gateway, principal, &topic(id)).await?;
    let tx = gateway.database.begin_read().await?;
    let row = task::Entity::find_by_id(id).one(&tx).await?.ok_or(FamilyError::NotFound)?;
    let task = with_artifacts(&tx, row).await?;
    let cursor = gateway.hub.log().position(&tx, &topic(id)).await?;
    tx.rollback().await?;
    Ok((task, cursor))
}
