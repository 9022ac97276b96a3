//! Reading a topic's log, in pieces that are bounded both in events and in bytes.

use entity::{event, topic};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, Order, QueryFilter, QueryOrder, QuerySelect,
};

use super::{EventLog, LogError, Stale, absent, topic_row};
use crate::{
    database::Transaction,
    event::{Cursor, Event, Topic},
};

/// Rows in the first step of reading a piece: before it is known how large they are.
const FIRST_STEP: u64 = 16;

/// Part of a topic's log.
#[derive(Debug)]
pub struct Page {
    /// In order, without gaps, from the one after the place asked for.
    pub events: Vec<Event>,
    /// Whether the log goes on behind them.
    pub has_more: bool,
}

/// How much is read at once.
#[derive(Clone, Copy, Debug)]
pub struct Most {
    /// Events.
    pub events: u64,
    /// Bytes of their data, though one event is always read, however large it is.
    pub bytes: usize,
}

impl EventLog {
    /// What follows `cursor`.
    pub async fn after(&self, topic: &Topic, cursor: Cursor, most: Most) -> Result<Page, LogError> {
        let tx = self.database.begin_read().await?;
        let head = topic_row(&tx, topic).await?.ok_or(Stale::UnknownCursor)?;
        if cursor.epoch != head.epoch || cursor.seq > head.last_seq {
            return Err(Stale::UnknownCursor.into());
        }
        let rows = read(&tx, &head, Order::Asc, cursor.seq, most).await?;
        tx.rollback().await?;
        let first = rows.first().map_or(head.last_seq + 1, |row| row.seq);
        if first != cursor.seq + 1 {
            return Err(Stale::Pruned.into());
        }
        Ok(page(topic, &head, rows, cursor.seq))
    }

    /// The oldest events still kept, and where they begin.
    pub async fn oldest(&self, topic: &Topic, most: Most) -> Result<(Cursor, Page), LogError> {
        let tx = self.database.begin_read().await?;
        let head = topic_row(&tx, topic).await?.ok_or(Stale::UnknownCursor)?;
        let rows = read(&tx, &head, Order::Asc, 0, most).await?;
        tx.rollback().await?;
        let before = rows.first().map_or(head.last_seq, |row| row.seq - 1);
        Ok((Cursor { epoch: head.epoch, seq: before }, page(topic, &head, rows, before)))
    }

    /// The newest events as of this transaction, in order, for those who come late; and whether there
    /// ever were others before them.
    pub async fn newest(
        tx: &Transaction,
        topic: &Topic,
        most: Most,
    ) -> Result<(Vec<Event>, bool), DbErr> {
        let head = topic_row(tx, topic).await?.ok_or_else(|| absent(topic))?;
        let mut rows = read(tx, &head, Order::Desc, head.last_seq + 1, most).await?;
        rows.reverse();
        let first = rows.first().map_or(head.last_seq + 1, |row| row.seq);
        Ok((page(topic, &head, rows, head.last_seq).events, first > 1))
    }
}

/// Events behind `seq`, or before it, in that order. Read in steps, the first of them small: a
/// thousand events may be as many bytes, or a quarter of a gigabyte.
async fn read(
    connection: &impl ConnectionTrait,
    head: &topic::Model,
    order: Order,
    mut seq: i64,
    most: Most,
) -> Result<Vec<event::Model>, DbErr> {
    let mut rows: Vec<event::Model> = Vec::new();
    let (mut bytes, mut step) = (0, FIRST_STEP);
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
        // As many as probably fit.
        let average = (bytes as u64 / count).max(1);
        step = ((most.bytes - bytes) as u64 / average).max(1);
    }
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
