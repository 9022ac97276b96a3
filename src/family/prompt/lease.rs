//! Ends the leases of prompts when they expire. If no event was published under the lease, the prompt is queued again.
//! Otherwise the prompt fails, because published events cannot be taken back.

use std::time::Duration;

use entity::prompt;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
};
use uuid::Uuid;

use super::{
    events::{end_event, status_event},
    publish_state::PublishState,
    rows::{lock, revoke_lease, topic, transition},
};
use crate::{
    clock::Reading,
    event::Family,
    family::{
        Result, commit,
        queue::{self, ExpiringLease, LEASES_PER_QUERY, expired_within},
    },
    gateway::Gateway,
};

/// The columns that store the end of a lease.
const LEASE_COLUMNS: (prompt::Column, prompt::Column) =
    (prompt::Column::LeaseExpiresAt, prompt::Column::LeaseClock);

/// Ends the leases that have expired. Each prompt is queued again or fails.
pub(super) async fn end_expired(gateway: &Gateway) -> Result<()> {
    let find = |now, time| expiring_leases(gateway, now, time);
    queue::end_expired(gateway, Family::Prompt, find, |id| end_lease(gateway, id)).await
}

/// Prompts whose leases expire within `time` from now, with the end of each lease.
async fn expiring_leases(
    gateway: &Gateway,
    now: Reading,
    time: Duration,
) -> std::result::Result<Vec<ExpiringLease>, DbErr> {
    prompt::Entity::find()
        .filter(prompt::Column::Status.eq(prompt::Status::Processing))
        .filter(expired_within(&now, time, LEASE_COLUMNS))
        .order_by_asc(prompt::Column::LeaseExpiresAt)
        .limit(LEASES_PER_QUERY)
        .select_only()
        .columns([prompt::Column::Id, LEASE_COLUMNS.0, LEASE_COLUMNS.1])
        .into_tuple()
        .all(gateway.database.reader())
        .await
}

async fn end_lease(gateway: &Gateway, id: Uuid) -> Result<()> {
    let tx = gateway.database.begin_write().await?;
    let row = lock(&tx, id).await?;
    if !PublishState::from(&row).lease().has_expired(&gateway.clock.read()) {
        // Another gateway has ended the lease, or the agent has renewed it.
        return Ok(());
    }
    let event = if revoke_lease(gateway, &tx, &row).await? {
        transition(row, prompt::Status::Failed).update(&tx).await?;
        end_event("error", "the agent began to answer, and its lease expired")?
    } else {
        status_event(&transition(row, prompt::Status::Queued).update(&tx).await?)?
    };
    commit(gateway, tx, &topic(id), vec![event]).await
}
