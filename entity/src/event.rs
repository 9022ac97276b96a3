//! The event log itself.

use sea_orm::entity::prelude::*;

use crate::Timestamp;

/// One event of one topic. Sequence numbers have no gaps but at the old end, where pruning takes.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "event")]
pub struct Model {
    /// The topic's row.
    #[sea_orm(primary_key, auto_increment = false)]
    pub topic_id: i64,
    /// 1, 2, 3 and so on within the topic.
    #[sea_orm(primary_key, auto_increment = false)]
    pub seq: i64,
    /// Kind of the event, a dotted name.
    pub kind: String,
    /// JSON text, on one line, safe to put behind `data:` as it is.
    #[sea_orm(column_type = "Text")]
    pub data: String,
    /// Whether nothing can follow on this topic.
    pub terminal: bool,
    /// Time at which the event was written.
    pub at: Timestamp,
    /// A random number from 1 that the events of one transaction share. With `seq` it names the
    /// event: where a backup was restored, another event can have the same `seq`. 0 for events
    /// that are older than this column.
    pub nonce: i32,
    /// The nonce of the event before it; 0 for the first one.
    pub prior_nonce: i32,
}

impl ActiveModelBehavior for ActiveModel {}
