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

/// Releases a claimed task. It is pending again, or cancelled if that was requested. The release does not count as a
/// failed attempt.
///
/// # Errors
/// [`FamilyError::LeaseLost`](crate::family::FamilyError::LeaseLost).
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
