//! Artifacts: what workers make of a task, chunk by chunk, and how the chunks are joined.

use entity::artifact;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait,
    IntoActiveModel, QueryFilter, QueryOrder,
};
use serde_json::Value;
use uuid::Uuid;

use super::schema::{Artifact, NewArtifact};
use crate::api::problem::{Problem, Result};

/// Bytes of all artifacts of a task as JSON: they are part of every snapshot.
const MAX_BYTES: usize = 1 << 20;

/// Artifacts of a task.
const MAX_ARTIFACTS: usize = 1_000;

/// Chunks of all of them, which are read and joined whenever the task is.
const MAX_CHUNKS: usize = 20_000;

/// The artifacts of one task.
pub(super) struct Artifacts {
    task: Uuid,
    /// In order.
    chunks: Vec<artifact::Model>,
}

impl Artifacts {
    pub(super) async fn of(
        connection: &impl ConnectionTrait,
        task: Uuid,
    ) -> std::result::Result<Self, DbErr> {
        let chunks = artifact::Entity::find()
            .filter(artifact::Column::TaskId.eq(task))
            .order_by_asc(artifact::Column::Place)
            .order_by_asc(artifact::Column::Chunk)
            .all(connection)
            .await?;
        Ok(Self { task, chunks })
    }

    /// Bytes of all of them.
    pub(super) fn bytes(&self) -> usize {
        self.chunks.iter().map(bytes).sum()
    }

    /// Each as one.
    pub(super) fn joined(&self) -> Vec<Artifact> {
        self.chunks.chunk_by(|a, b| a.place == b.place).map(joined).collect()
    }

    /// Adds a chunk in the transaction that has the task locked, or 409.
    pub(super) async fn write(
        &mut self,
        tx: &DatabaseTransaction,
        new: &NewArtifact,
    ) -> Result<()> {
        let own = |chunk: &artifact::Model| chunk.artifact_id == new.artifact_id.0;
        let first = self.chunks.iter().find(|chunk| own(chunk));
        let place = first.map(|chunk| chunk.place);
        let mut number = 0;
        if new.append {
            let first = first.ok_or_else(|| {
                Problem::conflict(
                    "there is no artifact of this id to append to; begin it without append",
                )
            })?;
            let fits = matches!(
                (&new.data.0, first.data.as_str().as_bytes().first()),
                (Value::String(_), Some(b'"')) | (Value::Array(_), Some(b'['))
            );
            if !fits {
                return Err(Problem::conflict(
                    "only a text can be appended to a text, and an array to an array",
                ));
            }
            let last = self.chunks.iter().rfind(|chunk| own(chunk));
            number = last.map_or(0, |chunk| chunk.chunk + 1);
        } else if place.is_some() {
            artifact::Entity::delete_many()
                .filter(artifact::Column::TaskId.eq(self.task))
                .filter(artifact::Column::Place.eq(place))
                .exec(tx)
                .await?;
            self.chunks.retain(|chunk| !own(chunk));
        }
        let next = || self.chunks.last().map_or(0, |chunk| chunk.place + 1);
        let row = artifact::Model {
            task_id: self.task,
            // An artifact that begins anew stays where it first appeared.
            place: place.unwrap_or_else(next),
            chunk: number,
            artifact_id: new.artifact_id.0.clone(),
            name: new.name.as_ref().map(|name| name.0.clone()),
            data: (&new.data.0).into(),
            last_chunk: new.last_chunk,
        };
        let at = self.chunks.partition_point(|chunk| chunk.place <= row.place);
        self.chunks.insert(at, row.clone());
        self.check()?;
        row.into_active_model().insert(tx).await?;
        Ok(())
    }

    fn check(&self) -> Result<()> {
        let refuse =
            |what: String| Err(Problem::conflict(format!("a task's artifacts have {what}")));
        if self.bytes() > MAX_BYTES {
            return refuse(format!("at most {MAX_BYTES} bytes together, as JSON"));
        }
        if self.chunks.len() > MAX_CHUNKS {
            return refuse(format!("at most {MAX_CHUNKS} chunks together"));
        }
        if self.chunks.chunk_by(|a, b| a.place == b.place).count() > MAX_ARTIFACTS {
            return Err(Problem::conflict(format!("a task has at most {MAX_ARTIFACTS} artifacts")));
        }
        Ok(())
    }
}

/// What a chunk counts. The quotes of a text and the brackets of an array are there once, however
/// many chunks it comes in, and are not counted.
fn bytes(chunk: &artifact::Model) -> usize {
    let text = chunk.data.as_str();
    if text.starts_with(['"', '[']) { text.len() - 2 } else { text.len() }
}

fn joined(chunks: &[artifact::Model]) -> Artifact {
    let (first, rest) = chunks.split_first().expect("an artifact has a chunk");
    let mut data = first.data.value();
    for chunk in rest {
        match (&mut data, chunk.data.value()) {
            (Value::String(text), Value::String(more)) => text.push_str(&more),
            (Value::Array(items), Value::Array(mut more)) => items.append(&mut more),
            // Never written.
            _ => {}
        }
    }
    let last = rest.last().unwrap_or(first);
    Artifact {
        artifact_id: first.artifact_id.clone(),
        name: chunks.iter().rev().find_map(|chunk| chunk.name.clone()),
        data: poem_openapi::types::Any(data),
        last_chunk: last.last_chunk,
    }
}
