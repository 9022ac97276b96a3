//! Claims prompts.

use std::time::Duration;

use entity::prompt;
use sea_orm::{
    ActiveModelTrait,
    ActiveValue::Set,
    QuerySelect,
    sea_query::{LockBehavior, LockType},
};
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    events::status_event,
    rows::{queued, topic, transition},
    schema::{ClaimPrompts, ClaimedPrompt},
};
use crate::{
    event::Family,
    family::{
        Result,
        queue::{DEFAULT_LEASE_SECONDS, claim_or_wait},
    },
    gateway::Gateway,
};

/// Claims the oldest queued prompts, or waits for one. See [`claim_or_wait`].
pub async fn claim(
    gateway: &Gateway,
    request: &ClaimPrompts,
    client_gone: impl Future<Output = ()>,
) -> Result<Vec<ClaimedPrompt>> {
    let wait = Duration::from_secs(request.wait_seconds.unwrap_or(0));
    let claim = || claim_queued(gateway, request);
    claim_or_wait(gateway, Family::Prompt, wait, client_gone, claim).await
}

/// Claims queued prompts, at most as many as the request asks for.
async fn claim_queued(gateway: &Gateway, request: &ClaimPrompts) -> Result<Vec<ClaimedPrompt>> {
    let any = queued().select_only().column(prompt::Column::Id).into_tuple::<Uuid>();
    if any.one(gateway.database.reader()).await?.is_none() {
        // Agents claim all the time, and mostly there is nothing to claim. Then a read is enough.
        return Ok(Vec::new());
    }
    let tx = gateway.database.begin_write().await?;
    let rows = queued()
        .limit(request.max.unwrap_or(1))
        // A concurrent claim skips these prompts and does not wait for them.
        .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
        .all(&tx)
        .await?;
    let seconds = request.lease_seconds.unwrap_or(DEFAULT_LEASE_SECONDS);
    let lease = Duration::from_secs(seconds.into());
    let (until, lease_end) = (gateway.clock.read().deadline_in(lease), Instant::now() + lease);
    let log = gateway.hub.log();
    let mut events = Vec::with_capacity(rows.len());
    let mut claimed = Vec::with_capacity(rows.len());
    // The order of the ids is the order of the topics' names. So two transactions cannot deadlock.
    for mut row in rows {
        let (topic, lease_token) = (topic(row.id), Uuid::new_v4());
        row.attempt += 1;
        let attempt = row.attempt;
        let mut change = transition(row, prompt::Status::Processing);
        change.attempt = Set(attempt);
        change.lease_token = Set(Some(lease_token));
        change.lease_expires_at = Set(Some(until.at));
        change.lease_clock = Set(until.clock);
        change.lease_seconds = Set(i32::try_from(seconds).unwrap_or(i32::MAX));
        // From here on, the event log refuses events of agents that held the prompt before.
        log.fence(&tx, &topic, Some(lease_token)).await?;
        change.claim_seq = Set(log.position(&tx, &topic).await?.seq + 1);
        let row = change.update(&tx).await?;
        let appended = log.append(&tx, &topic, vec![status_event(&row)?]).await?;
        events.extend(appended);
        claimed.push(ClaimedPrompt {
            prompt: row.into(),
            attempt,
            lease_token,
            lease_expires_at: until.at.datetime(),
        });
    }
    gateway.hub.commit(tx, events).await?;
    if !claimed.is_empty() {
        gateway.work_queue(Family::Prompt).next_lease_end.set(lease_end);
    }
    Ok(claimed)
}
