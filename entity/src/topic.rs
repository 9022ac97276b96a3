//! The head of each topic's event log.

use sea_orm::entity::prelude::*;

/// A topic: where its log stands. The row's lock gives events their order.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "topic")]
pub struct Model {
    /// Given by the database; only events refer to it.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// `<family>.<id>`.
    #[sea_orm(unique)]
    pub name: String,
    /// A random number from the creation of the topic. It tells apart cursors of other topics and of earlier
    /// databases.
    pub epoch: i64,
    /// The sequence number of the newest event; 0 when there was none.
    pub last_seq: i64,
    /// The newest event is the last one there will ever be.
    pub closed: bool,
    /// Token of the lease that may write to the topic, while it holds.
    pub fence: Option<Uuid>,
    /// The nonce of the newest event; 0 when there was none.
    pub nonce: i32,
    /// `nonce` before the last write. An upsert cannot return the value that it replaces.
    pub prior_nonce: i32,
}

impl ActiveModelBehavior for ActiveModel {}
