//! The operations of workers: claim a task, show that one is alive, report, give back.

mod schema;

use std::{sync::Arc, time::Duration};

use entity::{Timestamp, task};
use poem::web::Data;
use poem_openapi::{OpenApi, param::Path, payload::Json, types::Any};
use sea_orm::{
    ActiveModelTrait,
    ActiveValue::Set,
    ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{LockBehavior, LockType},
};
use serde_json::json;
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    artifact::Artifacts,
    is_end, lease,
    rows::{event, given_up, lock, turn, whole, with},
    schema::{ArtifactChunk, NewArtifact, Task},
    topic,
};
use crate::{
    api::{
        PAGE_BYTES, Tag,
        caller::{Agent, Caller},
        family::{self, new_event},
        problem::{Problem, Result},
        request_info::RequestInfo,
        stored,
    },
    event::Family,
    family::queue::claim_or_wait,
    gateway::Gateway,
};

use schema::{Claim, Claimed, Heartbeat, Lease, Report};

/// Bytes of an output as JSON. Every event after the end of a task has it.
const MAX_OUTPUT: usize = 65_536;

/// Bytes of a chunk of an artifact as JSON: each is an event.
const MAX_CHUNK: usize = 65_536;

/// How long a claim holds if the worker does not say.
const DEFAULT_LEASE_SECONDS: u32 = 60;

/// The operations.
pub(in crate::api) struct Workers;

#[OpenApi(prefix_path = "/v1/tasks", tag = "Tag::Task")]
impl Workers {
    /// Claim tasks
    ///
    /// Takes the oldest pending ones whose type is among the skills, each under a lease of its own, or
    /// waits for one. Needs the role agent.
    #[oai(path = "/claim", method = "post", operation_id = "task_claim")]
    async fn claim(
        &self,
        _caller: Caller<Agent>,
        gateway: Data<&Arc<Gateway>>,
        request: Data<&RequestInfo>,
        body: Json<Claim>,
    ) -> Result<Json<Vec<Claimed>>> {
        let wait = Duration::from_secs(body.wait_seconds.unwrap_or(0));
        let claimed =
            claim_or_wait(&gateway, Family::Task, wait, request.client_gone(wait), || {
                claim(&gateway, &body)
            })
            .await?;
        Ok(Json(claimed))
    }

    /// Show that a task is being worked on
    ///
    /// The lease holds for its whole length from now on, and tells whether the task is to be
    /// cancelled. Needs the role agent. 409 if the lease is not the task's newest or has run out.
    #[oai(path = "/:id/heartbeat", method = "post", operation_id = "task_heartbeat")]
    async fn heartbeat(
        &self,
        _caller: Caller<Agent>,
        gateway: Data<&Arc<Gateway>>,
        /// The task's id.
        id: Path<Uuid>,
        body: Json<Lease>,
    ) -> Result<Json<Heartbeat>> {
        let tx = gateway.database.begin_write().await?;
        let row = lock(&tx, id.0).await?;
        let now = gateway.clock.read();
        lease::check(&row, body.lease_token, &now)?;
        let cancel_requested = row.cancel_by.is_some();
        let mut change = row.clone().into_active_model();
        let until = lease::extend(&mut change, &row, &now);
        change.update(&tx).await?;
        tx.commit().await?;
        Ok(Json(Heartbeat { lease_expires_at: until.datetime(), cancel_requested }))
    }

    /// Report on a task
    ///
    /// A note that it goes on, a chunk of an artifact, or its end; extends the lease like a heartbeat.
    /// Reports are numbered within the attempt: one that was applied already is answered with the task
    /// and changes nothing, even after the end; one that leaves a number out is a 409 with the number
    /// that is expected in `expected_seq`. Needs the role agent. 409 also if the lease is not the
    /// task's newest or has run out, if `cancelled` is reported of what nobody has asked to cancel,
    /// if a chunk cannot be appended, or if the task would have more than 1,000 artifacts, or more than
    /// 1 MiB of them together.
    #[oai(path = "/:id/report", method = "post", operation_id = "task_report")]
    async fn report(
        &self,
        _caller: Caller<Agent>,
        gateway: Data<&Arc<Gateway>>,
        /// The task's id.
        id: Path<Uuid>,
        body: Json<Report>,
    ) -> Result<Json<Task>> {
        let report = body.0;
        report.check()?;
        let output = report.output.as_ref();
        let output =
            output.map(|output| stored::value("output", &output.0, MAX_OUTPUT)).transpose()?;
        if let Some(artifact) = &report.artifact {
            stored::value("artifact.data", &artifact.data.0, MAX_CHUNK)?;
        }
        let tx = gateway.database.begin_write().await?;
        let row = lock(&tx, id.0).await?;
        if row.lease_token == Some(report.lease_token) && report.seq <= row.report_seq {
            return Ok(Json(whole(&tx, row).await?));
        }
        let (now, clock) = (Timestamp::now(), gateway.clock.read());
        lease::check(&row, report.lease_token, &clock)?;
        let expected = row.report_seq + 1;
        if report.seq != expected {
            let detail = format!("the next report of this attempt has the seq {expected}");
            return Err(Problem::conflict(detail).with("expected_seq", json!(expected)));
        }
        let mut artifacts = Artifacts::of(&tx, id.0).await?;
        let mut events = Vec::new();
        if let Some(artifact) = report.artifact {
            artifacts.write(&tx, &artifact).await?;
            let chunk = chunk(&row, report.seq, artifact, now);
            events.push(new_event("task.artifact", &chunk)?);
        }
        let mut change = match report.status.map(task::Status::from) {
            Some(task::Status::Cancelled) if row.cancel_by.is_none() => {
                return Err(Problem::conflict("nobody has asked to cancel the task"));
            }
            Some(end) if is_end(end) => turn(row, end, now)?,
            _ => {
                let mut change = row.clone().into_active_model();
                lease::extend(&mut change, &row, &clock);
                change.updated_at = Set(now);
                change
            }
        };
        change.report_seq = Set(report.seq);
        if output.is_some() {
            change.output = Set(output);
        }
        if let Some(error) = report.error {
            change.error = Set(Some(error.0));
        }
        let row = change.update(&tx).await?;
        if report.status.is_some() {
            events.push(event(&row)?);
        }
        family::commit(&gateway, tx, &topic(id.0), events).await?;
        Ok(Json(with(row, &artifacts)))
    }

    /// Give a task back
    ///
    /// It is pending again, as if nobody had claimed it, or cancelled if somebody has asked for that.
    /// That it was given back does not count as a failed attempt. Needs the role agent. 409 if the
    /// lease is not the task's newest or has run out.
    #[oai(path = "/:id/release", method = "post", operation_id = "task_release")]
    async fn release(
        &self,
        _caller: Caller<Agent>,
        gateway: Data<&Arc<Gateway>>,
        /// The task's id.
        id: Path<Uuid>,
        body: Json<Lease>,
    ) -> Result<Json<Task>> {
        let tx = gateway.database.begin_write().await?;
        let row = lock(&tx, id.0).await?;
        lease::check(&row, body.lease_token, &gateway.clock.read())?;
        let to = given_up(&row);
        let row = turn(row, to, Timestamp::now())?.update(&tx).await?;
        let event = event(&row)?;
        let task = whole(&tx, row).await?;
        family::commit(&gateway, tx, &topic(id.0), vec![event]).await?;
        gateway.notify_workers(Family::Task);
        Ok(Json(task))
    }
}

/// Claims what there is, up to as many as are asked for.
async fn claim(gateway: &Gateway, wanted: &Claim) -> crate::family::Result<Vec<Claimed>> {
    let skills = wanted.skills.iter().map(|skill| skill.0.as_str());
    let waiting = task::Entity::find()
        .filter(task::Column::Status.eq(task::Status::Pending))
        .filter(task::Column::TaskType.is_in(skills));
    let any = waiting.clone().select_only().column(task::Column::Id).into_tuple::<Uuid>();
    if any.one(gateway.database.reader()).await?.is_none() {
        // Workers ask all the time; most of the time nobody has to be kept from writing for it.
        return Ok(Vec::new());
    }
    let tx = gateway.database.begin_write().await?;
    let rows = waiting
        .order_by_asc(task::Column::Id)
        .limit(wanted.max.unwrap_or(1))
        // Whoever claims at the same time takes the next ones, without waiting.
        .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
        .all(&tx)
        .await?;
    let seconds = wanted.lease_seconds.unwrap_or(DEFAULT_LEASE_SECONDS);
    let lease = Duration::from_secs(seconds.into());
    let (now, end) = (Timestamp::now(), Instant::now() + lease);
    let until = gateway.clock.read().after(lease);
    let (mut claimed, mut events, mut bytes) = (Vec::new(), Vec::new(), 0);
    let mut are_more = false;
    for row in rows {
        let artifacts = Artifacts::of(&tx, row.id).await?;
        bytes += artifacts.bytes();
        are_more = bytes > PAGE_BYTES && !claimed.is_empty();
        if are_more {
            break;
        }
        let (attempt, lease_token) = (row.attempt + 1, Uuid::new_v4());
        let mut change = turn(row, task::Status::Running, now)?;
        change.attempt = Set(attempt);
        change.lease_token = Set(Some(lease_token));
        change.lease_seconds = Set(seconds.into());
        change.lease_expires_at = Set(Some(until.at));
        change.lease_clock = Set(until.clock);
        change.report_seq = Set(0);
        let row = change.update(&tx).await?;
        let log = gateway.hub.log();
        events.extend(log.append(&tx, &topic(row.id), vec![event(&row)?]).await?);
        claimed.push(Claimed {
            task: with(row, &artifacts),
            attempt,
            lease_token,
            lease_expires_at: until.at.datetime(),
        });
    }
    gateway.hub.commit(tx, events).await?;
    if !claimed.is_empty() {
        gateway.work_queue(Family::Task).next_lease_end.set(end);
    }
    if are_more {
        // Others have passed them over because they were locked.
        gateway.notify_workers(Family::Task);
    }
    Ok(claimed)
}

/// What the stream tells of a chunk.
fn chunk(row: &task::Model, seq: i64, new: NewArtifact, now: Timestamp) -> ArtifactChunk {
    ArtifactChunk {
        task_id: row.id,
        attempt: row.attempt,
        seq,
        artifact_id: new.artifact_id.0,
        name: new.name.map(|name| name.0),
        data: Any(new.data.0),
        append: new.append,
        last_chunk: new.last_chunk,
        at: now.datetime(),
    }
}
