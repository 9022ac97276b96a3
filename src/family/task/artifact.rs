//! Artifacts: the results of a task. Workers report them in chunks, and this module joins the chunks.

use entity::{JsonText, artifact};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, IntoActiveModel,
    QueryFilter, QueryOrder,
};
use uuid::Uuid;

use super::schema::{Artifact, NewArtifact};
use crate::{
    database::Transaction,
    family::{FamilyError, Result, wire::AnyJson},
};

/// Maximum total size of the artifacts of a task, in bytes of JSON. Every snapshot contains all of them.
const MAX_BYTES: usize = 1 << 20;

/// Maximum number of artifacts of a task.
const MAX_ARTIFACTS: usize = 1_000;

/// Maximum size of a row after a chunk is joined to it, in bytes of JSON. A chunk that does not fit gets its own row.
/// Models report a few characters at a time, so joining saves many rows. Every read of the task with its artifacts
/// reads all rows.
const MAX_JOINED_BYTES: usize = 4_096;

/// The artifacts of one task, as rows.
pub(super) struct Artifacts {
    task: Uuid,
    /// The rows, in the order of the artifacts and their chunks.
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

    /// Total size of the artifacts, in bytes of JSON.
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
            data: new.data.0.clone(),
            last_chunk: new.last_chunk,
        };
        let mut at = self.rows.len();
        let mut joins = false;
        match (new.append, first.zip(last)) {
            (false, None) => {}
            (false, Some((first, last))) => {
                // An artifact that starts over keeps its position.
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
                    "the task has no artifact with this id; report the first chunk without append",
                ));
            }
            (true, Some((_, last))) => {
                let before = &self.rows[last];
                if !can_join(&before.data, &row.data) {
                    return Err(FamilyError::conflict(
                        "a string can be appended only to a string, and an array only to an array",
                    ));
                }
                joins = bytes(before) + bytes(&row) <= MAX_JOINED_BYTES;
                row.position = before.position;
                row.chunk = before.chunk + i32::from(!joins);
                at = last + usize::from(!joins);
                if joins {
                    row.name = row.name.or_else(|| before.name.clone());
                    row.data = join([before, &row]);
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
                "the artifacts of a task can have at most {MAX_BYTES} bytes of JSON in total"
            )));
        }
        if self.rows.chunk_by(|a, b| a.position == b.position).count() > MAX_ARTIFACTS {
            return Err(FamilyError::conflict(format!(
                "a task can have at most {MAX_ARTIFACTS} artifacts"
            )));
        }
        Ok(())
    }
}

/// Size of the data of a row, in bytes of JSON. The quotes of a string and the brackets of an array are not counted. An
/// artifact has them only once, even if it has many rows.
fn bytes(row: &artifact::Model) -> usize {
    let text = row.data.as_str();
    if text.starts_with(['"', '[']) { text.len() - 2 } else { text.len() }
}

/// Whether both values are strings, or both are arrays.
fn can_join(before: &JsonText, after: &JsonText) -> bool {
    let both = |mark| [before, after].iter().all(|data| data.as_str().starts_with(mark));
    both('"') || both('[')
}

/// Joins the data of these rows of one artifact, as text: the characters of strings, or the items of arrays.
fn join<'a>(rows: impl IntoIterator<Item = &'a artifact::Model>) -> JsonText {
    let mut rows = rows.into_iter().map(|row| row.data.as_str());
    let mut joined = rows.next().unwrap_or("null").to_owned();
    for more in rows {
        // `can_join` makes sure that both have the same kind of quotes or brackets. The end of `more` ends both.
        let more = more.get(1..).unwrap_or_default();
        joined.pop();
        if joined.starts_with('[') && joined.len() > 1 && more.len() > 1 {
            joined.push(',');
        }
        joined.push_str(more);
    }
    joined.into()
}

fn joined(rows: &[artifact::Model]) -> Artifact {
    let last = rows.last().expect("an artifact has a row");
    Artifact {
        artifact_id: last.artifact_id.clone(),
        name: rows.iter().rev().find_map(|row| row.name.clone()),
        data: AnyJson(join(rows)),
        last_chunk: last.last_chunk,
    }
}
