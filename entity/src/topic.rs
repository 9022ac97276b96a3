//! Topics: the head of each event log.

use sea_orm::entity::prelude::*;

/// A topic and the position of its newest event. The lock of this row puts the events in order.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "topic")]
pub struct Model {
    /// Assigned by the database. Only rows of `event` refer to it.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// `<family>.<id>`.
    #[sea_orm(unique)]
    pub name: String,
    /// A random number, drawn when the topic is created. A cursor of another topic or of an earlier database has a
    /// different one.
    pub epoch: i64,
    /// Sequence number of the newest event. 0 if there was none.
    pub last_seq: i64,
    /// Whether the newest event is the last one.
    pub closed: bool,
    /// Fencing token of the one lease that may write to the topic. Absent if there is no such lease.
    pub fence: Option<Uuid>,
    /// Nonce of the newest event. 0 if there was none.
    pub nonce: i32,
    /// `nonce` before the last write. An upsert cannot return the value that it replaces.
    pub prior_nonce: i32,
}

impl ActiveModelBehavior for ActiveModel {}
