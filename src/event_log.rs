//! The event log: durable, per topic, the truth.
//!
//! An event's sequence number is taken under the lock of its topic's row and written in the same
//! transaction as the change it tells of. So the order of commits is the order of numbers, numbers
//! have no gaps (a rollback gives its number back), and what a snapshot shows and where its cursor
//! stands are one moment. Because there are no gaps, a missing number can only mean that pruning
//! has taken it, and a reader can never skip without noticing.

mod append;

use std::{collections::HashMap, time::Duration};

use entity::{Timestamp, event, topic};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait, ExprTrait, QueryFilter,
    QueryOrder, QuerySelect,
    sea_query::{Expr, Query},
};
use uuid::Uuid;

use crate::{
    database::Database,
    event::{Cursor, Event, Family, NewEvent, Topic},
};

pub use append::{Addition, AppendError, Number, Refused};

/// Names in one look-up.
const NAMES_PER_QUERY: usize = 500;

/// Silent topics in one look-up.
const SILENT_TOPICS: u64 = 200;

/// Rows that one `DELETE` of the pruning takes, so that publishers wait for no more than that.
const ROWS_PER_PRUNE: i64 = 5_000;

/// Rows in one step from the new end of a log backwards.
const ROWS_PER_STEP: u64 = 128;

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
            Self::Pruned => "pruned",
        }
    }
}

/// Part of a topic's log.
#[derive(Debug)]
pub struct Page {
    /// In order, without gaps, from the one after the place asked for.
    pub events: Vec<Event>,
    /// Whether the log goes on behind them.
    pub has_more: bool,
}

/// How long events are kept.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// The newest so many of each topic.
    pub events: u64,
    /// Those not older than this, in seconds.
    pub seconds: u64,
}

impl Retention {
    /// What is older need not be kept.
    #[must_use]
    pub fn cutoff(self) -> Timestamp {
        Timestamp::now() - Duration::from_secs(self.seconds)
    }
}

/// All topics' logs.
#[derive(Clone, Debug)]
pub struct EventLog {
    database: Database,
}

impl EventLog {
    /// The log in this database.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self { database }
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
        row.map(|row| Cursor { epoch: row.epoch, seq: row.last_seq }).ok_or_else(|| absent(topic))
    }

    /// Where the topic's log stands, and whether its last event has been written.
    pub async fn head(&self, topic: &Topic) -> Result<(Cursor, bool), DbErr> {
        let row = topic_row(self.database.reader(), topic).await?;
        let head = row.ok_or_else(|| absent(topic))?;
        Ok((Cursor { epoch: head.epoch, seq: head.last_seq }, head.closed))
    }

    /// Where the logs of these topics stand, by name.
    pub async fn positions(&self, topics: &[Topic]) -> Result<HashMap<String, Cursor>, DbErr> {
        let mut positions = HashMap::with_capacity(topics.len());
        for batch in topics.chunks(NAMES_PER_QUERY) {
            let rows = topic::Entity::find()
                .filter(topic::Column::Name.is_in(batch.iter().map(Topic::as_str)))
                .all(self.database.reader())
                .await?;
            let cursor = |row: &topic::Model| Cursor { epoch: row.epoch, seq: row.last_seq };
            positions.extend(rows.into_iter().map(|row| (row.name.clone(), cursor(&row))));
        }
        Ok(positions)
    }

    /// Up to `limit` events after `cursor`.
    pub async fn after(&self, topic: &Topic, cursor: Cursor, limit: u64) -> Result<Page, LogError> {
        let tx = self.database.begin_read().await?;
        let head = topic_row(&tx, topic).await?.ok_or(Stale::UnknownCursor)?;
        if cursor.epoch != head.epoch || cursor.seq > head.last_seq {
            return Err(Stale::UnknownCursor.into());
        }
        let rows = rows_after(&tx, &head, cursor.seq, limit).await?;
        tx.rollback().await?;
        let first = rows.first().map_or(head.last_seq + 1, |row| row.seq);
        if first != cursor.seq + 1 {
            return Err(Stale::Pruned.into());
        }
        Ok(page(topic, &head, rows, cursor.seq))
    }

    /// Up to `limit` of the oldest events still kept.
    pub async fn oldest(&self, topic: &Topic, limit: u64) -> Result<(Cursor, Page), LogError> {
        let tx = self.database.begin_read().await?;
        let head = topic_row(&tx, topic).await?.ok_or(Stale::UnknownCursor)?;
        let rows = rows_after(&tx, &head, 0, limit).await?;
        tx.rollback().await?;
        let before = rows.first().map_or(head.last_seq, |row| row.seq - 1);
        Ok((Cursor { epoch: head.epoch, seq: before }, page(topic, &head, rows, before)))
    }

    /// The newest events as of this transaction, at most `limit` and `bytes` of data, in order, for
    /// those who come late; and whether there ever were others before them.
    pub async fn newest(
        tx: &DatabaseTransaction,
        topic: &Topic,
        limit: usize,
        bytes: usize,
    ) -> Result<(Vec<Event>, bool), DbErr> {
        let head = topic_row(tx, topic).await?.ok_or_else(|| absent(topic))?;
        let mut rows: Vec<event::Model> = Vec::new();
        let (mut before, mut left) = (head.last_seq + 1, bytes);
        // In steps, because the data of `limit` events may be much more than `bytes`.
        'full: loop {
            let step = rows_before(tx, &head, before, ROWS_PER_STEP).await?;
            let Some(oldest) = step.last() else { break };
            before = oldest.seq;
            for row in step {
                if rows.len() == limit || row.data.len() > left {
                    break 'full;
                }
                left -= row.data.len();
                rows.push(row);
            }
        }
        rows.reverse();
        let first = rows.first().map_or(head.last_seq + 1, |row| row.seq);
        Ok((page(topic, &head, rows, head.last_seq).events, first > 1))
    }

    /// Makes the log of a new resource, in the transaction that makes the resource.
    pub async fn create(&self, tx: &DatabaseTransaction, topic: &Topic) -> Result<(), DbErr> {
        append::advance(tx, &[(topic.as_str(), 0)]).await.map(drop)
    }

    /// Writes events in the transaction that makes the change they tell of. The topic's row stays
    /// locked until the transaction ends.
    pub async fn append(
        &self,
        tx: &DatabaseTransaction,
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
        tx: &DatabaseTransaction,
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
    pub async fn remove(&self, tx: &DatabaseTransaction, topics: &[Topic]) -> Result<(), DbErr> {
        topic::Entity::delete_many()
            .filter(topic::Column::Name.is_in(topics.iter().map(Topic::as_str)))
            .exec(tx)
            .await
            .map(drop)
    }

    /// Deletes what a family need not keep and returns how many events that were. Only ever takes
    /// from the old end of a topic.
    pub async fn prune(&self, family: Family, retention: Retention) -> Result<u64, DbErr> {
        let keep = i64::try_from(retention.events).unwrap_or(i64::MAX);
        let cutoff = retention.cutoff();
        let mut after_id = 0;
        let mut pruned = 0;
        loop {
            let heads = topic::Entity::find()
                .filter(topic::Column::Name.starts_with(format!("{}.", family.name())))
                .filter(topic::Column::Id.gt(after_id))
                .order_by_asc(topic::Column::Id)
                .limit(1_000)
                .all(self.database.reader())
                .await?;
            let Some(last) = heads.last() else {
                return Ok(pruned);
            };
            after_id = last.id;
            for head in &heads {
                pruned += self.prune_topic(head, head.last_seq - keep, cutoff).await?;
            }
        }
    }

    /// Some of the topics of a family in which nothing was written since `cutoff`: of those that have
    /// ended, or of those that have not. In the order of their names, behind `after`.
    pub async fn silent(
        &self,
        family: Family,
        closed: bool,
        cutoff: Timestamp,
        after: Option<&Topic>,
    ) -> Result<Vec<Topic>, DbErr> {
        let of_topic = Expr::col((event::Entity, event::Column::TopicId))
            .equals((topic::Entity, topic::Column::Id));
        let newer = Query::select()
            .column(event::Column::Seq)
            .from(event::Entity)
            .and_where(of_topic)
            .and_where(event::Column::At.gte(cutoff))
            .to_owned();
        let prefix = format!("{}.", family.name());
        let rows = topic::Entity::find()
            .filter(topic::Column::Name.starts_with(&prefix))
            .filter(topic::Column::Name.gt(after.map_or(prefix.as_str(), Topic::as_str)))
            .filter(topic::Column::Closed.eq(closed))
            .filter(Expr::not_exists(newer))
            .order_by_asc(topic::Column::Name)
            .limit(SILENT_TOPICS)
            .all(self.database.reader())
            .await?;
        Ok(rows.iter().filter_map(|row| row.name.parse().ok()).collect())
    }

    async fn prune_topic(
        &self,
        head: &topic::Model,
        surplus: i64,
        cutoff: Timestamp,
    ) -> Result<u64, DbErr> {
        let edge = |newest| {
            let rows = event::Entity::find().filter(event::Column::TopicId.eq(head.id));
            let rows = if newest {
                rows.filter(event::Column::At.lt(cutoff)).order_by_desc(event::Column::Seq)
            } else {
                rows.order_by_asc(event::Column::Seq)
            };
            rows.one(self.database.reader())
        };
        let Some(oldest) = edge(false).await? else {
            return Ok(0);
        };
        // Most topics have nothing to prune; then the first row has told so.
        let outdated =
            if oldest.at < cutoff { edge(true).await?.map_or(0, |row| row.seq) } else { 0 };
        let last = Ord::max(surplus, outdated);
        let mut pruned = 0;
        let mut from = oldest.seq;
        while from <= last {
            let to = Ord::min(last, from + ROWS_PER_PRUNE - 1);
            pruned += event::Entity::delete_many()
                .filter(event::Column::TopicId.eq(head.id))
                .filter(event::Column::Seq.lte(to))
                .exec(self.database.writer())
                .await?
                .rows_affected;
            from = to + 1;
        }
        Ok(pruned)
    }
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

async fn rows_after(
    connection: &impl ConnectionTrait,
    head: &topic::Model,
    seq: i64,
    limit: u64,
) -> Result<Vec<event::Model>, DbErr> {
    event::Entity::find()
        .filter(event::Column::TopicId.eq(head.id))
        .filter(event::Column::Seq.gt(seq))
        .order_by_asc(event::Column::Seq)
        .limit(limit)
        .all(connection)
        .await
}

async fn rows_before(
    connection: &impl ConnectionTrait,
    head: &topic::Model,
    seq: i64,
    limit: u64,
) -> Result<Vec<event::Model>, DbErr> {
    event::Entity::find()
        .filter(event::Column::TopicId.eq(head.id))
        .filter(event::Column::Seq.lt(seq))
        .order_by_desc(event::Column::Seq)
        .limit(limit)
        .all(connection)
        .await
}

fn page(topic: &Topic, head: &topic::Model, rows: Vec<event::Model>, after: i64) -> Page {
    let has_more = rows.last().map_or(after, |row| row.seq) < head.last_seq;
    let event = |row: event::Model| Event {
        topic: topic.clone(),
        cursor: Cursor { epoch: head.epoch, seq: row.seq },
        kind: row.kind,
        data: row.data,
        terminal: row.terminal,
        at: row.at,
    };
    Page { events: rows.into_iter().map(event).collect(), has_more }
}
