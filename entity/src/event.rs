//! Events: the content of the event log.

use sea_orm::entity::prelude::*;

use crate::Timestamp;

/// One event of one topic. The sequence numbers of a topic have no gaps. Pruning deletes the oldest events.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "event")]
pub struct Model {
    /// Id of the topic's row.
    #[sea_orm(primary_key, auto_increment = false)]
    pub topic_id: i64,
    /// Sequence number: 1, 2, 3 and so on within the topic.
    #[sea_orm(primary_key, auto_increment = false)]
    pub seq: i64,
    /// Kind of the event: a dotted name, such as `task.status`.
    pub kind: String,
    /// JSON text on one line, so that SSE can send it after `data:` unchanged.
    #[sea_orm(column_type = "Text")]
    pub data: String,
    /// Whether this is the last event of the topic.
    pub terminal: bool,
    /// Time at which the event was written.
    pub at: Timestamp,
    /// A random number, at least 1, that the events of one transaction share. Together with `seq` it identifies the
    /// event. After the restore of a backup, a different event can get the same `seq`. 0 for events that are older than
    /// this column.
    pub nonce: i32,
    /// Nonce of the previous event of the topic. 0 for the first event, and for events that are older than this column.
    pub prior_nonce: i32,
}

impl ActiveModelBehavior for ActiveModel {}
