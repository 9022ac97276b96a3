//! Artifacts of tasks, in chunks.

use sea_orm::entity::prelude::*;

use crate::JsonText;

/// Some chunks of an artifact, joined: one large chunk, or several small ones. Later chunks are appended as
/// further rows, so that full rows are not written again.
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
    /// Display name. Absent if these chunks brought none.
    pub name: Option<String>,
    /// A part of a string or array, or the whole of any other value.
    #[sea_orm(column_type = "Text")]
    pub data: JsonText,
    /// Whether the worker marked the newest of these chunks as the last one.
    pub last_chunk: bool,
}

impl ActiveModelBehavior for ActiveModel {}
