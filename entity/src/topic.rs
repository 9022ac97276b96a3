//! Topics. Each row is the head of the event log of one topic.

use sea_orm::entity::prelude::*;

/// A topic and the position of its newest event. The lock of this row determines the order of the events.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "topic")]
pub struct Model {
    /// Id of the row, assigned by the database. Only rows of `event` refer to it.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// Name of the topic: `<family>.<id>`.
    #[sea_orm(unique)]
    pub name: String,
    /// A random number that is chosen when the topic is created. Cursors of other topics, or of an earlier database,
    /// contain a different number.
    pub epoch: i64,
    /// Sequence number of the newest event. 0 if there was none.
    pub last_seq: i64,
    /// Whether the topic has ended: no event can follow the newest event.
    pub closed: bool,
    /// Fencing token of the newest lease. The event log refuses events that are published with another token. Absent
    /// without a lease.
    pub fence: Option<Uuid>,
    /// Nonce of the newest event. 0 if there was none.
    pub nonce: i32,
    /// Value of `nonce` before the last write. Stored because an upsert cannot return the value that it replaces.
    pub prior_nonce: i32,
}

impl ActiveModelBehavior for ActiveModel {}
