//! Leases that run out: what nobody has begun to answer is queued again; what somebody has begun and
//! not ended has failed, because what was said cannot be taken back.

use std::{sync::Arc, time::Duration};

use entity::{Timestamp, prompt};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
};
use serde_json::json;
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    rows::{in_status, lock, revoke, status_event},
    topic,
};
use crate::{
    api::{
        family::{self, new_event},
        problem::{Problem, Result},
    },
    gateway::Gateway,
};

/// Before trying again what the database has refused.
const RETRY: Duration = Duration::from_secs(1);

/// Leases that are looked at in one go.
const LEASES_PER_LOOK: u64 = 1_000;

/// Background work: ends what leases that have run out stood for, and sets the alarm for those that
/// soon will.
pub(in crate::api) async fn end_expired(gateway: Arc<Gateway>) {
    let failed = |problem: &Problem, prompt: Option<Uuid>| {
        let (cause, prompt) = (problem.cause(), prompt.map(tracing::field::display));
        tracing::warn!(cause, prompt, "cannot end a prompt's lease that ran out");
        gateway.leases.set(Instant::now() + RETRY);
    };
    let leases = match first_ends(&gateway).await {
        Ok(leases) => leases,
        Err(error) => return failed(&error.into(), None),
    };
    let may_be_more = leases.len() as u64 == LEASES_PER_LOOK;
    let mut has_ended_any = false;
    for (id, end) in leases {
        let left = end.since(Timestamp::now());
        if !left.is_zero() {
            // The others end later.
            gateway.leases.set(Instant::now() + left);
            return;
        }
        match end_lease(&gateway, id).await {
            Ok(()) => has_ended_any = true,
            Err(problem) => failed(&problem, Some(id)),
        }
    }
    if may_be_more && has_ended_any {
        gateway.leases.set(Instant::now());
    }
}

/// Prompts with leases that run out before the next heartbeat, and when, the first one first.
async fn first_ends(gateway: &Gateway) -> std::result::Result<Vec<(Uuid, Timestamp)>, DbErr> {
    let heartbeat = Duration::from_secs(gateway.config.streams.heartbeat_seconds);
    prompt::Entity::find()
        .filter(prompt::Column::Status.eq(prompt::Status::Processing))
        .filter(prompt::Column::LeaseExpiresAt.lte(Timestamp::now() + heartbeat))
        .order_by_asc(prompt::Column::LeaseExpiresAt)
        .limit(LEASES_PER_LOOK)
        .select_only()
        .columns([prompt::Column::Id, prompt::Column::LeaseExpiresAt])
        .into_tuple()
        .all(gateway.database.reader())
        .await
}

async fn end_lease(gateway: &Gateway, id: Uuid) -> Result<()> {
    let tx = gateway.database.begin_write().await?;
    let row = lock(&tx, id).await?;
    if row.lease_expires_at.is_none_or(|until| until > Timestamp::now()) {
        // Another gateway has ended it, or its agent has extended it.
        return Ok(());
    }
    let event = if revoke(gateway, &tx, &row).await? {
        in_status(row, prompt::Status::Failed).update(&tx).await?;
        let message = "the agent began to answer and was not heard of again";
        new_event("error", &json!({ "message": message }))?.terminal()
    } else {
        status_event(&in_status(row, prompt::Status::Queued).update(&tx).await?)?
    };
    family::commit(gateway, tx, &topic(id), vec![event]).await?;
    gateway.work.notify_waiters();
    Ok(())
}
