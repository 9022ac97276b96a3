//! The row of a topic.

use entity::topic;
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter};

use crate::event::{Cursor, Topic};

/// The cursor of the newest event of a topic.
pub(super) fn head_of(row: &topic::Model) -> Cursor {
    Cursor { epoch: row.epoch, seq: row.last_seq, nonce: row.nonce }
}

pub(super) fn missing_log(topic: &Topic) -> DbErr {
    DbErr::RecordNotFound(format!("the log of {topic}"))
}

pub(super) async fn topic_row(
    connection: &impl ConnectionTrait,
    topic: &Topic,
) -> Result<Option<topic::Model>, DbErr> {
    topic::Entity::find().filter(topic::Column::Name.eq(topic.as_str())).one(connection).await
}
