//! Claims tasks.

use std::time::Duration;

use entity::{Timestamp, task};
use sea_orm::{
    ActiveModelTrait,
    ActiveValue::Set,
    ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{LockBehavior, LockType},
};
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    artifact::Artifacts,
    events::state_event,
    rows::{task_with, topic, transition},
    worker_schema::{ClaimTasks, ClaimedTask},
};
use crate::{
    event::Family,
    family::{
        Result,
        queue::{DEFAULT_LEASE_SECONDS, claim_or_wait},
        wire::PAGE_BYTES,
    },
    gateway::Gateway,
};

/// Claims the oldest pending tasks with one of the skills, or waits for one. See [`claim_or_wait`].
pub async fn claim(
    gateway: &Gateway,
    request: &ClaimTasks,
    client_gone: impl Future<Output = ()>,
) -> Result<Vec<ClaimedTask>> {
    let wait = Duration::from_secs(request.wait_seconds.unwrap_or(0));
    let claim = || claim_pending(gateway, request);
    claim_or_wait(gateway, Family::Task, wait, client_gone, claim).await
}

/// Claims pending tasks, at most as many as the request asks for.
async fn claim_pending(gateway: &Gateway, request: &ClaimTasks) -> Result<Vec<ClaimedTask>> {
    let skills = request.skills.iter().map(|skill| skill.0.as_str());
    let pending = task::Entity::find()
        .filter(task::Column::Status.eq(task::Status::Pending))
        .filter(task::Column::TaskType.is_in(skills));
    let any = pending.clone().select_only().column(task::Column::Id).into_tuple::<Uuid>();
    if any.one(gateway.database.reader()).await?.is_none() {
        // Workers claim all the time, and mostly there is nothing to claim. Then a read is enough.
        return Ok(Vec::new());
    }
    let tx = gateway.database.begin_write().await?;
    let rows = pending
        .order_by_asc(task::Column::Id)
        .limit(request.max.unwrap_or(1))
        // A concurrent claim skips these tasks and does not wait for them.
        .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
        .all(&tx)
        .await?;
    let seconds = request.lease_seconds.unwrap_or(DEFAULT_LEASE_SECONDS);
    let lease = Duration::from_secs(seconds.into());
    let (now, lease_end) = (Timestamp::now(), Instant::now() + lease);
    let until = gateway.clock.read().deadline_in(lease);
    let (mut claimed, mut events, mut bytes) = (Vec::new(), Vec::new(), 0);
    let mut some_left = false;
    for row in rows {
        let artifacts = Artifacts::load(&tx, row.id).await?;
        bytes += artifacts.bytes();
        some_left = bytes > PAGE_BYTES && !claimed.is_empty();
        if some_left {
            break;
        }
        let (attempt, lease_token) = (row.attempt + 1, Uuid::new_v4());
        let mut change = transition(row, task::Status::Running, now)?;
        change.attempt = Set(attempt);
        change.lease_token = Set(Some(lease_token));
        change.lease_seconds = Set(seconds.into());
        change.lease_expires_at = Set(Some(until.at));
        change.lease_clock = Set(until.clock);
        change.report_seq = Set(0);
        let row = change.update(&tx).await?;
        let log = gateway.hub.log();
        events.extend(log.append(&tx, &topic(row.id), vec![state_event(&row)?]).await?);
        claimed.push(ClaimedTask {
            task: task_with(row, &artifacts),
            attempt,
            lease_token,
            lease_expires_at: until.at.datetime(),
        });
    }
    gateway.hub.commit(tx, events).await?;
    if !claimed.is_empty() {
        gateway.work_queue(Family::Task).next_lease_end.set(lease_end);
    }
    if some_left {
        // Concurrent claims may have skipped the remaining tasks because they were locked.
        gateway.notify_workers(Family::Task);
    }
    Ok(claimed)
}
