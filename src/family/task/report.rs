//! Reports on a task.

use entity::{Timestamp, task};
use sea_orm::{ActiveModelTrait, ActiveValue::Set, IntoActiveModel};
use uuid::Uuid;

use super::{
    artifact::Artifacts,
    events::state_event,
    lease,
    rows::{lock, task_with, topic, transition, with_artifacts},
    schema::{ArtifactChunk, NewArtifact, Task},
    status::is_terminal,
    worker_schema::TaskReport,
};
use crate::{
    family::{FamilyError, Result, commit, new_event, wire::json_value},
    gateway::Gateway,
};

/// Maximum size of an output, in bytes of JSON. The last event of the task and every later snapshot contain it.
const MAX_OUTPUT: usize = 65_536;

/// Maximum size of a chunk of an artifact, in bytes of JSON. One event contains the whole chunk.
const MAX_CHUNK: usize = 65_536;

/// Applies a worker's report. Renews the lease, unless the report ends the task. A report that was applied before
/// changes nothing.
///
/// # Errors
/// - [`FamilyError::NotFound`] if the task does not exist.
/// - [`FamilyError::LeaseLost`] if the lease is not the newest or has expired, or if the task has ended.
/// - [`FamilyError::OutOfSequence`] if the report does not have the next number.
/// - [`FamilyError::Conflict`] if a task is reported as cancelled without a request, or if a chunk cannot be added.
/// - [`FamilyError::BadInput`] if the report has a combination of fields that is not allowed, or if a field is too
///   large.
pub async fn report(gateway: &Gateway, id: Uuid, report: TaskReport) -> Result<Task> {
    report.check()?;
    let output = report.output.as_ref();
    let output = output.map(|output| json_value("output", output, MAX_OUTPUT)).transpose()?;
    if let Some(artifact) = &report.artifact {
        json_value("artifact.data", &artifact.data, MAX_CHUNK)?;
    }
    let tx = gateway.database.begin_write().await?;
    let row = lock(&tx, id).await?;
    if row.lease_token == Some(report.lease_token) && report.seq <= row.report_seq {
        return Ok(with_artifacts(&tx, row).await?);
    }
    let (now, clock) = (Timestamp::now(), gateway.clock.read());
    lease::check(&row, report.lease_token, &clock)?;
    let expected = row.report_seq + 1;
    if report.seq != expected {
        return Err(FamilyError::OutOfSequence { expected });
    }
    let mut artifacts = Artifacts::load(&tx, id).await?;
    let mut events = Vec::new();
    if let Some(artifact) = report.artifact {
        artifacts.add(&tx, &artifact).await?;
        let chunk = chunk(&row, report.seq, artifact, now);
        events.push(new_event("task.artifact", &chunk)?);
    }
    let mut change = match report.status.map(task::Status::from) {
        Some(task::Status::Cancelled) if row.cancel_by.is_none() => {
            return Err(FamilyError::conflict("cancellation of the task was not requested"));
        }
        Some(end) if is_terminal(end) => transition(row, end, now)?,
        _ => {
            let mut change = row.clone().into_active_model();
            lease::extend(&mut change, &row, &clock);
            change.updated_at = Set(now);
            change
        }
    };
    change.report_seq = Set(report.seq);
    if output.is_some() {
        change.output = Set(output.cloned());
    }
    if let Some(error) = report.error {
        change.error = Set(Some(error.0));
    }
    let row = change.update(&tx).await?;
    if report.status.is_some() {
        events.push(state_event(&row)?);
    }
    commit(gateway, tx, &topic(id), events).await?;
    Ok(task_with(row, &artifacts))
}

/// The data of the event that reports a chunk.
fn chunk(row: &task::Model, seq: i64, new: NewArtifact, now: Timestamp) -> ArtifactChunk {
    ArtifactChunk {
        task_id: row.id,
        attempt: row.attempt,
        seq,
        artifact_id: new.artifact_id.0,
        name: new.name.map(|name| name.0),
        data: new.data,
        append: new.append,
        last_chunk: new.last_chunk,
        at: now.datetime(),
    }
}
