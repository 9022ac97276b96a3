//! How long a worker holds a task, and what becomes of it afterwards.

use std::time::Duration;

use entity::{Timestamp, task};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, DbErr, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect,
};
use uuid::Uuid;

use super::{
    rows::{event, left, lock, turn},
    topic,
};
use crate::{
    api::{
        family, lease,
        problem::{Problem, Result},
    },
    event::Family,
    gateway::Gateway,
};

/// 409 unless this is the token of the lease that the task is under.
pub(super) fn check(row: &task::Model, lease_token: Uuid, now: Timestamp) -> Result<()> {
    if row.lease_token != Some(lease_token) {
        return Err(Problem::conflict("this lease is not the newest of this task"));
    }
    if row.status != task::Status::Running {
        return Err(Problem::conflict("the task has ended"));
    }
    if row.lease_expires_at.is_none_or(|until| until <= now) {
        return Err(Problem::conflict("the lease has run out"));
    }
    Ok(())
}

/// Until when a lease holds whose worker was heard of now: for its whole length, but not longer than
/// a task may go on whose end somebody has asked for.
pub(super) fn extended(row: &task::Model, now: Timestamp) -> Timestamp {
    let until = now + Duration::from_secs(u64::try_from(row.lease_seconds).unwrap_or(0));
    row.cancel_by.map_or(until, |by| until.min(by))
}

/// Background work: takes tasks from workers whose leases have run out.
pub(in crate::api) async fn end_leases(gateway: &Gateway) {
    let ends = first_ends(gateway).await;
    lease::end_expired(gateway, Family::Task, ends, |id| end_lease(gateway, id)).await;
}

/// Tasks with leases that run out before the next heartbeat, and when, the first ones first.
async fn first_ends(gateway: &Gateway) -> std::result::Result<Vec<(Uuid, Timestamp)>, DbErr> {
    task::Entity::find()
        .filter(task::Column::LeaseExpiresAt.lte(lease::horizon(gateway)))
        .order_by_asc(task::Column::LeaseExpiresAt)
        .limit(lease::PER_LOOK)
        .select_only()
        .columns([task::Column::Id, task::Column::LeaseExpiresAt])
        .into_tuple()
        .all(gateway.database.reader())
        .await
}

/// Takes a task from its worker, if its lease has indeed run out.
async fn end_lease(gateway: &Gateway, id: Uuid) -> Result<()> {
    let tx = gateway.database.begin_write().await?;
    let row = lock(&tx, id).await?;
    let now = Timestamp::now();
    // The worker may have been heard of since.
    if row.lease_expires_at.is_none_or(|until| until > now) {
        return Ok(tx.rollback().await?);
    }
    let (lapses, most) = (row.lapses + 1, row.max_attempts);
    let to = match left(&row) {
        task::Status::Pending if lapses >= most => task::Status::Failed,
        other => other,
    };
    let mut change = turn(row, to, now)?;
    change.lapses = Set(lapses);
    if to == task::Status::Failed {
        change.error = Set(Some(format!("no worker finished it: {lapses} leases ran out")));
    }
    let row = change.update(&tx).await?;
    family::commit(gateway, tx, &topic(id), vec![event(&row)?]).await
}
