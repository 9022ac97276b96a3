//! Artifacts of tasks, in chunks.

use sea_orm::entity::prelude::*;

use crate::JsonText;

/// A part of an artifact: one large chunk, or some small ones. An appended chunk is another row, so that
/// earlier rows are not written again.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "artifact")]
pub struct Model {
    /// The task that it is of.
    #[sea_orm(primary_key, auto_increment = false)]
    pub task_id: Uuid,
    /// Position of the artifact in its task, from 0, in the order of first chunks.
    #[sea_orm(primary_key, auto_increment = false)]
    pub place: i32,
    /// Position of the chunk in its artifact, from 0.
    #[sea_orm(primary_key, auto_increment = false)]
    pub chunk: i32,
    /// The worker's name for the artifact, the same in all its parts.
    pub artifact_id: String,
    /// A name for people, if this part brought one.
    pub name: Option<String>,
    /// A part of a text or of an array, or the whole of something else.
    #[sea_orm(column_type = "Text")]
    pub data: JsonText,
    /// Whether the worker said that nothing follows.
    pub last_chunk: bool,
}

impl ActiveModelBehavior for ActiveModel {}
