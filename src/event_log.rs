//! The event log: durable, per topic, the truth.
//!
//! An event's sequence number is taken under the lock of its topic's row and written in the same
//! transaction as the change it tells of. So the order of commits is the order of numbers, numbers
//! have no gaps (a rollback gives its number back), and what a snapshot shows and where its cursor
//! stands are one moment. Because there are no gaps, a missing number can only mean that pruning
//! has taken it, and a reader can never skip without noticing.
//!
//! A number alone does not name an event for ever. When the database is restored from a backup, or
//! fails over to a copy that lacked the newest events, their numbers are given to others. So every
//! event also has a nonce, a random number that the events of one transaction share, and knows the
//! nonce of the event before it. A cursor holds both number and nonce. Two logs that have the same
//! number with the same nonce have the same events up to there.

mod append;
mod read;
mod retention;

use std::{collections::HashMap, sync::Arc};

use entity::topic;
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, sea_query::Expr};
use uuid::Uuid;

use crate::{
    clock::Clock,
    database::{Database, Transaction},
    event::{Cursor, Event, NewEvent, Topic},
};

pub use append::{Addition, AppendError, Number, Refused};
pub use read::{Most, Page, Standing};
pub use retention::Retention;

/// Names in one look-up.
const NAMES_PER_QUERY: usize = 500;

/// Why the log could not be read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The place is not, or no longer, in the log; a reader must start from the present state.
    #[error(transparent)]
    Stale(#[from] Stale),
    /// The database did not say.
    #[error(transparent)]
    Database(#[from] DbErr),
}

/// Why a cursor cannot be resumed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stale {
    /// It is not of this topic, or of a database that is not this one.
    #[error("the cursor is not one of this stream's")]
    UnknownCursor,
    /// The log has another event in the place of the one it names, or none: the database was
    /// restored from a backup, or has failed over to a copy that lacked the newest events.
    #[error("the events up to the cursor were replaced by others")]
    Replaced,
    /// What followed it has been pruned.
    #[error("the events after the cursor are no longer kept")]
    Pruned,
}

impl Stale {
    /// The word for it in a snapshot's `reset` and in metrics.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::UnknownCursor => "unknown_cursor",
            Self::Replaced => "replaced",
            Self::Pruned => "pruned",
        }
    }
}

/// All topics' logs.
#[derive(Clone, Debug)]
pub struct EventLog {
    database: Database,
    clock: Arc<Clock>,
}

impl EventLog {
    /// The log in this database. Events are stamped by the time of `clock` that counts.
    #[must_use]
    pub fn new(database: Database, clock: Arc<Clock>) -> Self {
        Self { database, clock }
    }

    /// The database that it shares with the state that events tell of.
    #[must_use]
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Where the topic's log stands, within the transaction.
    pub async fn position(
        &self,
        connection: &impl ConnectionTrait,
        topic: &Topic,
    ) -> Result<Cursor, DbErr> {
        let row = topic_row(connection, topic).await?;
        row.map(|row| head_of(&row)).ok_or_else(|| absent(topic))
    }

    /// Where the topic's log stands, and whether its last event has been written; if there is one.
    pub async fn head(&self, topic: &Topic) -> Result<Option<(Cursor, bool)>, DbErr> {
        let row = topic_row(self.database.reader(), topic).await?;
        Ok(row.map(|row| (head_of(&row), row.closed)))
    }

    /// Where the logs of these topics stand, by name.
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

    /// Makes the log of a new resource, in the transaction that makes the resource.
    pub async fn create(&self, tx: &Transaction, topic: &Topic) -> Result<(), DbErr> {
        append::advance(tx, &[(topic.as_str(), 0)], 0).await.map(drop)
    }

    /// Writes events in the transaction that makes the change they tell of. The topic's row stays
    /// locked until the transaction ends.
    pub async fn append(
        &self,
        tx: &Transaction,
        topic: &Topic,
        events: Vec<NewEvent>,
    ) -> Result<Vec<Event>, AppendError> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let additions = [Addition { topic: topic.clone(), fence: None, events }];
        let numbers = self.append_all(tx, &additions).await?;
        let mut events = Vec::new();
        for (number, addition) in numbers.into_iter().zip(additions) {
            events.extend(number?.of(addition));
        }
        Ok(events)
    }

    /// Lets only who shows this token add events under a fence from now on, or nobody.
    pub async fn fence(
        &self,
        tx: &Transaction,
        topic: &Topic,
        token: Option<Uuid>,
    ) -> Result<(), DbErr> {
        topic::Entity::update_many()
            .col_expr(topic::Column::Fence, Expr::value(token))
            .filter(topic::Column::Name.eq(topic.as_str()))
            .exec(tx)
            .await
            .map(drop)
    }

    /// Deletes the logs of these topics, in the transaction that deletes what they were about.
    pub async fn remove(&self, tx: &Transaction, topics: &[Topic]) -> Result<(), DbErr> {
        topic::Entity::delete_many()
            .filter(topic::Column::Name.is_in(topics.iter().map(Topic::as_str)))
            .exec(tx)
            .await
            .map(drop)
    }
}

/// The newest event of a topic.
fn head_of(row: &topic::Model) -> Cursor {
    Cursor { epoch: row.epoch, seq: row.last_seq, nonce: row.nonce }
}

fn absent(topic: &Topic) -> DbErr {
    DbErr::RecordNotFound(format!("the log of {topic}"))
}

async fn topic_row(
    connection: &impl ConnectionTrait,
    topic: &Topic,
) -> Result<Option<topic::Model>, DbErr> {
    topic::Entity::find().filter(topic::Column::Name.eq(topic.as_str())).one(connection).await
}
