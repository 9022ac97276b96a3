//! The positions of topics in the event log.

use std::collections::HashMap;

use entity::topic;
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter};

use super::{
    log::EventLog,
    topic_row::{head_of, missing_log, topic_row},
};
use crate::event::{Cursor, Topic};

/// Maximum number of names in one query.
const NAMES_PER_QUERY: usize = 500;

impl EventLog {
    /// The cursor of the topic's newest event, as of the caller's transaction.
    pub async fn position(
        &self,
        connection: &impl ConnectionTrait,
        topic: &Topic,
    ) -> Result<Cursor, DbErr> {
        let row = topic_row(connection, topic).await?;
        row.map(|row| head_of(&row)).ok_or_else(|| missing_log(topic))
    }

    /// The cursor of the topic's newest event, and whether it is the last event. `None` if the topic has no log.
    pub async fn head(&self, topic: &Topic) -> Result<Option<(Cursor, bool)>, DbErr> {
        let row = topic_row(self.database.reader(), topic).await?;
        Ok(row.map(|row| (head_of(&row), row.closed)))
    }

    /// The cursors of the newest events of these topics, by name. Without the topics that have no log.
    pub async fn positions(&self, topics: &[Topic]) -> Result<HashMap<String, Cursor>, DbErr> {
        let mut positions = HashMap::with_capacity(topics.len());
        for batch in topics.chunks(NAMES_PER_QUERY) {
            let rows = topic::Entity::find()
                .filter(topic::Column::Name.is_in(batch.iter().map(Topic::as_str)))
                .all(self.database.reader())
                .await?;
            positions.extend(rows.into_iter().map(|row| (row.name.clone(), head_of(&row))));
        }
        Ok(positions)
    }
}
