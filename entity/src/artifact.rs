//! Artifacts of tasks. One artifact has one or more rows.

use sea_orm::entity::prelude::*;

use crate::JsonText;

/// A part of an artifact: one large chunk, or several small chunks that were joined. Later chunks get further rows, so
/// that large rows are not written again.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "artifact")]
pub struct Model {
    /// Id of the task.
    #[sea_orm(primary_key, auto_increment = false)]
    pub task_id: Uuid,
    /// Position of the artifact in its task, from 0, in the order of the artifacts' first chunks.
    #[sea_orm(primary_key, auto_increment = false)]
    pub position: i32,
    /// Position of this row in its artifact, from 0.
    #[sea_orm(primary_key, auto_increment = false)]
    pub chunk: i32,
    /// The worker's id for the artifact, the same in all its rows.
    pub artifact_id: String,
    /// Display name: the newest name in these chunks. Absent if they have none.
    pub name: Option<String>,
    /// The data of these chunks: a part of a string or array, or any other value as a whole.
    #[sea_orm(column_type = "Text")]
    pub data: JsonText,
    /// Whether the worker marked the newest of these chunks as the last one.
    pub last_chunk: bool,
}

impl ActiveModelBehavior for ActiveModel {}
