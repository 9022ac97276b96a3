//! Cancels a task.

use std::time::Duration;

use entity::{Timestamp, task};
use sea_orm::{ActiveModelTrait, ActiveValue::Set, IntoActiveModel};
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    artifact::Artifacts,
    events::state_event,
    lease::lease_of,
    rows::{lock, task_with, topic, transition},
    schema::Task,
};
use crate::{
    auth::login_session::Principal,
    event::Family,
    family::{Result, commit, find_visible},
    gateway::Gateway,
};

/// Cancels a task. A pending task is cancelled at once. The worker of a running task is asked to cancel it. If the
/// worker does not, the gateway cancels the task when the grace time or the lease ends. Changes nothing if cancellation
/// was requested before.
///
/// # Errors
/// [`FamilyError::NotFound`](crate::family::FamilyError::NotFound) if the task does not exist or is not visible to the
/// caller, [`FamilyError::Conflict`](crate::family::FamilyError::Conflict) if the task has completed or failed.
pub async fn cancel(gateway: &Gateway, principal: &Principal, id: Uuid) -> Result<Task> {
    find_visible(gateway, principal, &topic(id)).await?;
    let tx = gateway.database.begin_write().await?;
    let row = lock(&tx, id).await?;
    let artifacts = Artifacts::load(&tx, id).await?;
    if row.status == task::Status::Cancelled
        || row.status == task::Status::Running && row.cancel_by.is_some()
    {
        return Ok(task_with(row, &artifacts));
    }
    let (now, clock) = (Timestamp::now(), gateway.clock.read());
    let grace = Duration::from_secs(gateway.config.tasks.cancel_grace_seconds);
    let left = lease_of(&row).time_left(&clock).map(|left| left.min(grace));
    let cancel_by = clock.deadline_in(grace);
    let mut change = match left {
        None => transition(row, task::Status::Cancelled, now)?,
        Some(left) => {
            let mut change = row.into_active_model();
            change.updated_at = Set(now);
            // The lease ends with the grace time at the latest. Its end cancels the task: see `lease.rs`.
            change.lease_expires_at = Set(Some(clock.deadline_in(left).at));
            change
        }
    };
    change.cancel_by = Set(Some(cancel_by.at));
    change.lease_clock = Set(cancel_by.clock);
    let row = change.update(&tx).await?;
    commit(gateway, tx, &topic(id), vec![state_event(&row)?]).await?;
    if let Some(left) = left {
        gateway.work_queue(Family::Task).next_lease_end.set(Instant::now() + left);
    }
    Ok(task_with(row, &artifacts))
}
