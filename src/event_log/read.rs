//! Reads the events of a topic, in pages that are bounded in events and in bytes.

use std::cmp::Ordering;

use entity::{event, topic};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, Order, QueryFilter, QueryOrder, QuerySelect,
};

use super::{
    error::{LogError, StaleCursor},
    log::EventLog,
    topic_row::{head_of, missing_log, topic_row},
};
use crate::{
    database::Transaction,
    event::{Cursor, Event, Topic},
};

/// Number of rows in the first query for a page, before their sizes are known.
const FIRST_QUERY_ROWS: u64 = 16;

/// A page of the events of a topic.
#[derive(Debug)]
pub struct Page {
    /// The events, in order and without gaps, after the requested position.
    pub events: Vec<Event>,
    /// Whether the log has later events.
    pub has_more: bool,
}

/// The position of a log, and whether it still has the requested events.
#[derive(Debug)]
pub struct LogState {
    /// The cursor of the newest event.
    pub head: Cursor,
    /// Whether the newest event is the last one of the topic.
    pub closed: bool,
    /// The reason why the log cannot be read from the cursor. `None` if it can.
    pub cursor: Option<StaleCursor>,
    /// The reason why the log does not have the other cursor. `None` if it has.
    pub known: Option<StaleCursor>,
}

/// Limits of one read.
#[derive(Clone, Copy, Debug)]
pub struct ReadLimit {
    /// Maximum number of events.
    pub events: u64,
    /// Maximum number of bytes of their data. One event is always read, even if it is larger.
    pub bytes: usize,
}

impl EventLog {
    /// The events after `cursor`.
    ///
    /// # Errors
    /// Those of [`Self::since`], with `cursor` as `known`.
    pub async fn after(
        &self,
        topic: &Topic,
        cursor: Cursor,
        most: ReadLimit,
    ) -> Result<Page, LogError> {
        self.since(topic, cursor.seq, cursor, most).await
    }

    /// The events after the number `seq`. The log must have `known`, which must not be older than `seq`.
    ///
    /// # Errors
    /// [`LogError::Stale`] with
    /// - [`StaleCursor::UnknownCursor`] if the topic has no log, or if `known` is a cursor of another log.
    /// - [`StaleCursor::Replaced`] if the log has another event at the number of `known`, or none yet.
    /// - [`StaleCursor::Pruned`] if an event after `seq` or the event after `known` was pruned.
    pub async fn since(
        &self,
        topic: &Topic,
        seq: i64,
        known: Cursor,
        most: ReadLimit,
    ) -> Result<Page, LogError> {
        let tx = self.database.begin_read().await?;
        let head = topic_row(&tx, topic).await?.ok_or(StaleCursor::UnknownCursor)?;
        if let Some(stale) = staleness(&tx, &head, known).await? {
            return Err(stale.into());
        }
        let rows = read(&tx, &head, Order::Asc, seq, most).await?;
        tx.rollback().await?;
        let first = rows.first().map_or(head.last_seq + 1, |row| row.seq);
        if first != seq + 1 {
            return Err(StaleCursor::Pruned.into());
        }
        Ok(page(topic, &head, rows, seq))
    }

    /// Whether `cursor` and `known` are in the log, as of one moment.
    pub async fn find(
        &self,
        topic: &Topic,
        cursor: Cursor,
        known: Cursor,
    ) -> Result<LogState, DbErr> {
        let tx = self.database.begin_read().await?;
        let head = topic_row(&tx, topic).await?.ok_or_else(|| missing_log(topic))?;
        let state = LogState {
            head: head_of(&head),
            closed: head.closed,
            cursor: staleness(&tx, &head, cursor).await?,
            known: staleness(&tx, &head, known).await?,
        };
        tx.rollback().await?;
        Ok(state)
    }

    /// The oldest events that are still in the log, and the cursor before them.
    ///
    /// # Errors
    /// [`LogError::Stale`] with [`StaleCursor::UnknownCursor`] if the topic has no log.
    pub async fn oldest(&self, topic: &Topic, most: ReadLimit) -> Result<(Cursor, Page), LogError> {
        let tx = self.database.begin_read().await?;
        let head = topic_row(&tx, topic).await?.ok_or(StaleCursor::UnknownCursor)?;
        let rows = read(&tx, &head, Order::Asc, 0, most).await?;
        tx.rollback().await?;
        let (seq, nonce) =
            rows.first().map_or((head.last_seq, head.nonce), |row| (row.seq - 1, row.prior_nonce));
        let before = Cursor { epoch: head.epoch, seq, nonce };
        Ok((before, page(topic, &head, rows, seq)))
    }

    /// The newest events as of this transaction, oldest first, and whether there were earlier events.
    pub async fn newest(
        tx: &Transaction,
        topic: &Topic,
        most: ReadLimit,
    ) -> Result<(Vec<Event>, bool), DbErr> {
        let head = topic_row(tx, topic).await?.ok_or_else(|| missing_log(topic))?;
        let mut rows = read(tx, &head, Order::Desc, head.last_seq + 1, most).await?;
        rows.reverse();
        let first = rows.first().map_or(head.last_seq + 1, |row| row.seq);
        Ok((page(topic, &head, rows, head.last_seq).events, first > 1))
    }
}

/// The reason why the log of this topic cannot be read from `cursor`. `None` if it can.
async fn staleness(
    connection: &impl ConnectionTrait,
    head: &topic::Model,
    cursor: Cursor,
) -> Result<Option<StaleCursor>, DbErr> {
    if cursor.epoch != head.epoch {
        return Ok(Some(StaleCursor::UnknownCursor));
    }
    let nonce = match cursor.seq.cmp(&head.last_seq) {
        Ordering::Greater => None,
        Ordering::Equal => Some(head.nonce),
        Ordering::Less => {
            // The next event stores this nonce too, so the event of the cursor itself may be pruned.
            let next = event::Entity::find_by_id((head.id, cursor.seq + 1))
                .select_only()
                .column(event::Column::PriorNonce)
                .into_tuple()
                .one(connection)
                .await?;
            let Some(nonce) = next else { return Ok(Some(StaleCursor::Pruned)) };
            Some(nonce)
        }
    };
    Ok((nonce != Some(cursor.nonce)).then_some(StaleCursor::Replaced))
}

/// The events after `seq` in ascending order, or before it in descending order. The first query reads few rows, because
/// their size is not known. A thousand events can have a thousand bytes, or a quarter of a gigabyte.
async fn read(
    connection: &impl ConnectionTrait,
    head: &topic::Model,
    order: Order,
    mut seq: i64,
    most: ReadLimit,
) -> Result<Vec<event::Model>, DbErr> {
    let mut rows: Vec<event::Model> = Vec::new();
    let (mut bytes, mut step) = (0, FIRST_QUERY_ROWS);
    loop {
        let wanted = step.min(most.events - rows.len() as u64);
        let behind = match order {
            Order::Desc => event::Column::Seq.lt(seq),
            _ => event::Column::Seq.gt(seq),
        };
        let found = event::Entity::find()
            .filter(event::Column::TopicId.eq(head.id))
            .filter(behind)
            .order_by(event::Column::Seq, order.clone())
            .limit(wanted)
            .all(connection)
            .await?;
        let is_last = (found.len() as u64) < wanted;
        for row in found {
            bytes += row.data.len();
            if bytes > most.bytes && !rows.is_empty() {
                return Ok(rows);
            }
            seq = row.seq;
            rows.push(row);
        }
        let count = rows.len() as u64;
        if is_last || count >= most.events || bytes >= most.bytes {
            return Ok(rows);
        }
        // The number of rows that probably fits.
        let average = (bytes as u64 / count).max(1);
        step = ((most.bytes - bytes) as u64 / average).max(1);
    }
}

fn page(topic: &Topic, head: &topic::Model, rows: Vec<event::Model>, after: i64) -> Page {
    let has_more = rows.last().map_or(after, |row| row.seq) < head.last_seq;
    let event = |row: event::Model| Event {
        topic: topic.clone(),
        cursor: Cursor { epoch: head.epoch, seq: row.seq, nonce: row.nonce },
        prior_nonce: row.prior_nonce,
        kind: row.kind,
        data: row.data,
        terminal: row.terminal,
        at: row.at,
    };
    Page { events: rows.into_iter().map(event).collect(), has_more }
}
