//! Artifacts: the results of a task, which workers report in chunks, and how the chunks are joined.

use entity::{JsonText, artifact};
use poem_openapi::types::Any;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, IntoActiveModel,
    QueryFilter, QueryOrder,
};
use serde_json::Value;
use uuid::Uuid;

use super::schema::{Artifact, NewArtifact};
use crate::{
    database::Transaction,
    family::{FamilyError, Result},
};

/// Bytes of all artifacts of a task as JSON, at most. Every snapshot contains them.
const MAX_BYTES: usize = 1 << 20;

/// Artifacts of a task, at most.
const MAX_ARTIFACTS: usize = 1_000;

/// Bytes of a row up to which a chunk is joined with it. A larger chunk gets its own row. Models write a few characters
/// at a time, and every read of the task reads all rows.
const JOINED_BYTES: usize = 4_096;

/// The artifacts of one task, as rows.
pub(super) struct Artifacts {
    task: Uuid,
    /// In order.
    rows: Vec<artifact::Model>,
}

impl Artifacts {
    /// Reads the artifacts of a task.
    pub(super) async fn load(
        connection: &impl ConnectionTrait,
        task: Uuid,
    ) -> std::result::Result<Self, DbErr> {
        let rows = artifact::Entity::find()
            .filter(artifact::Column::TaskId.eq(task))
            .order_by_asc(artifact::Column::Position)
            .order_by_asc(artifact::Column::Chunk)
            .all(connection)
            .await?;
        Ok(Self { task, rows })
    }

    /// Bytes of all artifacts as JSON.
    pub(super) fn bytes(&self) -> usize {
        self.rows.iter().map(bytes).sum()
    }

    /// The artifacts, each with its chunks joined.
    pub(super) fn joined(&self) -> Vec<Artifact> {
        self.rows.chunk_by(|a, b| a.position == b.position).map(joined).collect()
    }

    /// Adds a chunk, in the transaction that holds the lock of the task.
    pub(super) async fn add(&mut self, tx: &Transaction, new: &NewArtifact) -> Result<()> {
        let own = |row: &artifact::Model| row.artifact_id == new.artifact_id.0;
        let first = self.rows.iter().position(own);
        let last = self.rows.iter().rposition(own);
        let mut row = artifact::Model {
            task_id: self.task,
            position: self.rows.last().map_or(0, |row| row.position + 1),
            chunk: 0,
            artifact_id: new.artifact_id.0.clone(),
            name: new.name.as_ref().map(|name| name.0.clone()),
            data: (&new.data.0).into(),
            last_chunk: new.last_chunk,
        };
        let mut at = self.rows.len();
        let mut joins = false;
        match (new.append, first.zip(last)) {
            (false, None) => {}
            (false, Some((first, last))) => {
                // An artifact that starts over keeps its place.
                row.position = self.rows[first].position;
                artifact::Entity::delete_many()
                    .filter(artifact::Column::TaskId.eq(self.task))
                    .filter(artifact::Column::Position.eq(row.position))
                    .exec(tx)
                    .await?;
                self.rows.drain(first..=last);
                at = first;
            }
            (true, None) => {
                return Err(FamilyError::conflict(
                    "there is no artifact with this id to append to; start it without append",
                ));
            }
            (true, Some((_, last))) => {
                let before = &self.rows[last];
                if !can_join(&before.data, &row.data) {
                    return Err(FamilyError::conflict(
                        "a text can be appended only to a text, and an array only to an array",
                    ));
                }
                joins = bytes(before) + bytes(&row) <= JOINED_BYTES;
                row.position = before.position;
                row.chunk = before.chunk + i32::from(!joins);
                at = last + usize::from(!joins);
                if joins {
                    row.name = row.name.or_else(|| before.name.clone());
                    row.data = (&join([before, &row])).into();
                    self.rows.remove(last);
                }
            }
        }
        self.rows.insert(at, row.clone());
        self.check()?;
        let row = row.into_active_model();
        if joins {
            row.reset_all().update(tx).await?;
        } else {
            row.insert(tx).await?;
        }
        Ok(())
    }

    fn check(&self) -> Result<()> {
        if self.bytes() > MAX_BYTES {
            return Err(FamilyError::conflict(format!(
                "the artifacts of a task have at most {MAX_BYTES} bytes together, as JSON"
            )));
        }
        if self.rows.chunk_by(|a, b| a.position == b.position).count() > MAX_ARTIFACTS {
            return Err(FamilyError::conflict(format!(
                "a task has at most {MAX_ARTIFACTS} artifacts"
            )));
        }
        Ok(())
    }
}

/// The bytes that a row counts. The quotes of a text and the brackets of an array appear once per artifact, whatever the
/// number of chunks, and are not counted.
fn bytes(row: &artifact::Model) -> usize {
    let text = row.data.as_str();
    if text.starts_with(['"', '[']) { text.len() - 2 } else { text.len() }
}

/// Whether both are texts, or both arrays.
fn can_join(before: &JsonText, after: &JsonText) -> bool {
    let both = |mark| [before, after].iter().all(|data| data.as_str().starts_with(mark));
    both('"') || both('[')
}

/// The data of an artifact, from its rows.
fn join<'a>(rows: impl IntoIterator<Item = &'a artifact::Model>) -> Value {
    let mut rows = rows.into_iter().map(|row| row.data.value());
    let mut data = rows.next().unwrap_or_default();
    for more in rows {
        match (&mut data, more) {
            (Value::String(text), Value::String(more)) => text.push_str(&more),
            (Value::Array(items), Value::Array(mut more)) => items.append(&mut more),
            // `can_join` excludes every other pair.
            _ => {}
        }
    }
    data
}

fn joined(rows: &[artifact::Model]) -> Artifact {
    let last = rows.last().expect("an artifact has a row");
    Artifact {
        artifact_id: last.artifact_id.clone(),
        name: rows.iter().rev().find_map(|row| row.name.clone()),
        data: Any(join(rows)),
        last_chunk: last.last_chunk,
    }
}
