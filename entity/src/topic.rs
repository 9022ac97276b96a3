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
    /// A random number given when the topic is made, so that a cursor of another topic, or
    /// from before the database was made anew, is recognised.
    pub epoch: i64,
    /// The sequence number of the newest event; 0 when there was none.
    pub last_seq: i64,
    /// The newest event is the last one there will ever be.
    pub closed: bool,
    /// The token of the lease under which somebody writes to the topic, for as long as it holds.
    pub fence: Option<Uuid>,
    /// The nonce of the newest event; 0 when there was none.
    pub nonce: i32,
    /// What `nonce` was before the last write: an upsert cannot return what it replaces.
    pub prior_nonce: i32,
}

impl ActiveModelBehavior for ActiveModel {}
