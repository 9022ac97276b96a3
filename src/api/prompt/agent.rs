//! What agents do: claim prompts, keep them, publish, give them back.

use std::{sync::Arc, time::Duration};

use entity::prompt;
use poem::web::Data;
use poem_openapi::{OpenApi, param::Path, payload::Json};
use sea_orm::{
    ActiveModelTrait,
    ActiveValue::Set,
    QuerySelect,
    sea_query::{LockBehavior, LockType},
};
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    rows::{Standing, in_status, lock, queued, revoke, status_event},
    schema::{ClaimPrompts, ClaimedPrompt, ExtendedPromptLease, Prompt, PromptLease},
    topic,
};
use crate::{
    api::{
        Tag,
        caller::{Agent, Caller},
        family,
        problem::{Problem, Result},
        request_info::RequestInfo,
    },
    event::Family,
    family::queue::claim_or_wait,
    gateway::Gateway,
};

/// How long a claim holds if the agent does not say.
const DEFAULT_LEASE_SECONDS: u32 = 60;

/// The operations.
pub(in crate::api) struct Agents;

#[OpenApi(prefix_path = "/v1", tag = "Tag::Prompt")]
impl Agents {
    /// Claim prompts
    ///
    /// Takes the oldest queued ones, whoever asked them, each under a lease of its own, or waits for
    /// one. Needs the role agent.
    #[oai(path = "/prompts/claim", method = "post", operation_id = "prompt_claim")]
    async fn claim(
        &self,
        _caller: Caller<Agent>,
        gateway: Data<&Arc<Gateway>>,
        request: Data<&RequestInfo>,
        body: Json<ClaimPrompts>,
    ) -> Result<Json<Vec<ClaimedPrompt>>> {
        let wait = Duration::from_secs(body.wait_seconds.unwrap_or(0));
        let body = Arc::new(body.0);
        let claim = || claim(Arc::clone(&gateway), Arc::clone(&body));
        let claimed =
            claim_or_wait(&gateway, Family::Prompt, wait, request.client_gone(wait), claim).await?;
        Ok(Json(claimed))
    }

    /// Keep a prompt
    ///
    /// Makes the lease hold for its whole length again. Publishing does the same now and then. Needs
    /// the role agent; 409 if the lease is not the prompt's newest or has run out, or the prompt has
    /// ended.
    #[oai(
        path = "/sessions/:session_id/prompts/:prompt_id/heartbeat",
        method = "post",
        operation_id = "prompt_heartbeat"
    )]
    async fn heartbeat(
        &self,
        _caller: Caller<Agent>,
        gateway: Data<&Arc<Gateway>>,
        /// The session's id.
        session_id: Path<Uuid>,
        /// The prompt's id.
        prompt_id: Path<Uuid>,
        body: Json<PromptLease>,
    ) -> Result<Json<ExtendedPromptLease>> {
        let standing = Standing::of(&gateway, session_id.0, prompt_id.0).await?;
        let lease = standing.lease(body.0.lease_token, &gateway.clock.read())?;
        let until = lease.extend(&gateway, prompt_id.0).await?;
        Ok(Json(ExtendedPromptLease { lease_expires_at: until.datetime() }))
    }

    /// Give a prompt back
    ///
    /// It is queued again. Needs the role agent; 409 if anything was published since it was claimed,
    /// which cannot be taken back, if the lease is not the prompt's newest or has run out, or if the
    /// prompt has ended.
    #[oai(
        path = "/sessions/:session_id/prompts/:prompt_id/release",
        method = "post",
        operation_id = "prompt_release"
    )]
    async fn release(
        &self,
        _caller: Caller<Agent>,
        gateway: Data<&Arc<Gateway>>,
        /// The session's id.
        session_id: Path<Uuid>,
        /// The prompt's id.
        prompt_id: Path<Uuid>,
        body: Json<PromptLease>,
    ) -> Result<Json<Prompt>> {
        Standing::of(&gateway, session_id.0, prompt_id.0).await?;
        let tx = gateway.database.begin_write().await?;
        let row = lock(&tx, prompt_id.0).await?;
        Standing::from(&row).lease(body.0.lease_token, &gateway.clock.read())?;
        if revoke(&gateway, &tx, &row).await? {
            return Err(Problem::conflict("something was published since it was claimed"));
        }
        let row = in_status(row, prompt::Status::Queued).update(&tx).await?;
        family::commit(&gateway, tx, &topic(row.id), vec![status_event(&row)?]).await?;
        gateway.notify_workers(Family::Prompt);
        Ok(Json(row.into()))
    }
}

/// Claims what there is, up to as many as are asked for.
async fn claim(
    gateway: Arc<Gateway>,
    wanted: Arc<ClaimPrompts>,
) -> crate::family::Result<Vec<ClaimedPrompt>> {
    let any = queued().select_only().column(prompt::Column::Id).into_tuple::<Uuid>();
    if any.one(gateway.database.reader()).await?.is_none() {
        // Agents ask all the time; most of the time nobody has to be kept from writing for it.
        return Ok(Vec::new());
    }
    let tx = gateway.database.begin_write().await?;
    let rows = queued()
        .limit(wanted.max.unwrap_or(1))
        // Agents that claim at the same time do not wait for one another.
        .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
        .all(&tx)
        .await?;
    let seconds = wanted.lease_seconds.unwrap_or(DEFAULT_LEASE_SECONDS);
    let lease = Duration::from_secs(seconds.into());
    let (until, end) = (gateway.clock.read().after(lease), Instant::now() + lease);
    let log = gateway.hub.log();
    let mut events = Vec::with_capacity(rows.len());
    let mut claimed = Vec::with_capacity(rows.len());
    // In the order of their ids, which is that of their topics' names.
    for mut row in rows {
        let (topic, lease_token) = (topic(row.id), Uuid::new_v4());
        row.attempt += 1;
        let attempt = row.attempt;
        let mut change = in_status(row, prompt::Status::Processing);
        change.attempt = Set(attempt);
        change.lease_token = Set(Some(lease_token));
        change.lease_expires_at = Set(Some(until.at));
        change.lease_clock = Set(until.clock);
        change.lease_seconds = Set(i32::try_from(seconds).unwrap_or(i32::MAX));
        // Of whoever had it before nothing gets in any more.
        log.fence(&tx, &topic, Some(lease_token)).await?;
        change.claim_seq = Set(log.position(&tx, &topic).await?.seq + 1);
        let row = change.update(&tx).await?;
        let told = log.append(&tx, &topic, vec![status_event(&row)?]).await?;
        events.extend(told);
        claimed.push(ClaimedPrompt {
            prompt: row.into(),
            attempt,
            lease_token,
            lease_expires_at: until.at.datetime(),
        });
    }
    gateway.hub.commit(tx, events).await?;
    if !claimed.is_empty() {
        gateway.work_queue(Family::Prompt).next_lease_end.set(end);
    }
    Ok(claimed)
}
