//! Releases a task.

use entity::Timestamp;
use sea_orm::ActiveModelTrait;
use uuid::Uuid;

use super::{
    events::state_event,
    lease,
    rows::{lock, status_after_release, topic, transition, with_artifacts},
    schema::Task,
    worker_schema::TaskLease,
};
use crate::{
    event::Family,
    family::{Result, commit},
    gateway::Gateway,
};

/// Releases a claimed task. The task is pending again, or cancelled if cancellation was requested. A release does not
/// count as an expired lease.
///
/// # Errors
/// - [`FamilyError::NotFound`](crate::family::FamilyError::NotFound) if the task does not exist.
/// - [`FamilyError::LeaseLost`](crate::family::FamilyError::LeaseLost) if the lease is not the newest or has expired,
///   or if the task has ended.
pub async fn release(gateway: &Gateway, id: Uuid, lease: &TaskLease) -> Result<Task> {
    let tx = gateway.database.begin_write().await?;
    let row = lock(&tx, id).await?;
    lease::check(&row, lease.lease_token, &gateway.clock.read())?;
    let to = status_after_release(&row);
    let row = transition(row, to, Timestamp::now())?.update(&tx).await?;
    let event = state_event(&row)?;
    let task = with_artifacts(&tx, row).await?;
    commit(gateway, tx, &topic(id), vec![event]).await?;
    gateway.notify_workers(Family::Task);
    Ok(task)
}
