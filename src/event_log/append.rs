//! Appends the events of many callers in few statements.

use std::{
    collections::{BTreeSet, HashMap},
    iter, mem,
};

use entity::{Timestamp, event, topic};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, ExprTrait, FromQueryResult, QueryFilter,
    sea_query::{Alias, Expr, OnConflict, Query},
};
use uuid::Uuid;

use super::log::EventLog;
use crate::{
    database::Transaction,
    event::{Cursor, Event, NewEvent, Topic},
};

/// Maximum number of rows in one `INSERT`, a power of two. A row has 8 parameters, so the total is below the limits of
/// SQLite and PostgreSQL.
const ROWS_PER_INSERT: usize = 512;

/// Events to append to a topic.
#[derive(Debug)]
pub struct NewEvents {
    /// Topic to append to.
    pub topic: Topic,
    /// Token of the writer's lease. `None` if the writer has no lease. Then the topic's fence is not checked.
    pub fence: Option<Uuid>,
    /// The events, in order.
    pub events: Vec<NewEvent>,
}

/// The reason why the event log refuses an addition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendRefused {
    /// The last event of the topic has been written.
    #[error("the topic has ended")]
    Closed,
    /// Another lease is newer, or the lease has ended.
    #[error("the lease token is not the newest of this topic")]
    Fenced,
}

/// The reason why events were not appended.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The event log refused them.
    #[error(transparent)]
    Refused(#[from] AppendRefused),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DbErr),
}

/// The numbers, the nonces and the time that [`NewEvents`] got.
#[derive(Clone, Copy, Debug)]
pub struct AssignedPositions {
    first: Cursor,
    prior_nonce: i32,
    at: Timestamp,
}

impl AssignedPositions {
    /// The events of the addition, as they are in the log.
    pub fn into_events(self, addition: NewEvents) -> impl Iterator<Item = Event> {
        let NewEvents { topic, events, fence: _ } = addition;
        let mut prior_nonce = self.prior_nonce;
        (self.first.seq..).zip(events).map(move |(seq, event)| Event {
            topic: topic.clone(),
            cursor: Cursor { seq, ..self.first },
            prior_nonce: mem::replace(&mut prior_nonce, self.first.nonce),
            kind: event.kind,
            data: event.data,
            terminal: event.terminal,
            at: self.at,
        })
    }
}

impl EventLog {
    /// Appends the events of many callers. Returns the numbers of each addition, or the reason why it was refused, in
    /// the same order. The topics' rows stay locked until the transaction ends.
    ///
    /// No event is appended after the last event of a topic, or under a lease that is not the newest. Both are checked
    /// under the lock.
    ///
    /// The additions must be in the order of their topics' names. Otherwise two gateways that write to the same topics
    /// could block each other.
    pub async fn append_all(
        &self,
        tx: &Transaction,
        additions: &[NewEvents],
    ) -> Result<Vec<Result<AssignedPositions, AppendRefused>>, DbErr> {
        debug_assert!(additions.is_sorted_by_key(|addition| addition.topic.as_str()));
        let topics: Vec<(&str, usize)> = additions
            .chunk_by(|a, b| a.topic == b.topic)
            .map(|run| (run[0].topic.as_str(), run.iter().map(|add| add.events.len()).sum()))
            .collect();
        let nonce = rand::random_range(1..=i32::MAX);
        let mut heads = reserve_positions(tx, &topics, nonce).await?;
        let at = self.clock.now();
        let mut rows = Vec::with_capacity(topics.iter().map(|(_, count)| count).sum());
        let mut numbers = Vec::with_capacity(additions.len());
        // Refusals and last events are rare. So the heads are advanced first, and corrected after a refusal.
        let (mut corrected, mut closed) = (BTreeSet::new(), Vec::new());
        for addition in additions {
            let head =
                heads.get_mut(addition.topic.as_str()).ok_or_else(|| missing_topic(addition))?;
            let refused = if head.closed {
                Some(AppendRefused::Closed)
            } else if addition.fence.is_some() && addition.fence != head.fence {
                Some(AppendRefused::Fenced)
            } else {
                None
            };
            if let Some(refused) = refused {
                numbers.push(Err(refused));
                corrected.insert(addition.topic.as_str());
                continue;
            }
            let first = head.last_seq + 1;
            numbers.push(Ok(AssignedPositions {
                first: Cursor { epoch: head.epoch, seq: first, nonce },
                prior_nonce: head.nonce,
                at,
            }));
            for (seq, event) in (first..).zip(&addition.events) {
                let prior_nonce = mem::replace(&mut head.nonce, nonce);
                rows.push((head.id, seq, prior_nonce, event));
            }
            head.last_seq += count_of(addition.events.len());
            if addition.events.last().is_some_and(|event| event.terminal) {
                head.closed = true;
                closed.push(head.id);
            }
        }
        for head in corrected.into_iter().filter_map(|name| heads.get(name)) {
            topic::Entity::update_many()
                .col_expr(topic::Column::LastSeq, Expr::value(head.last_seq))
                .col_expr(topic::Column::Nonce, Expr::value(head.nonce))
                .filter(topic::Column::Id.eq(head.id))
                .exec(tx)
                .await?;
        }
        if !closed.is_empty() {
            topic::Entity::update_many()
                .col_expr(topic::Column::Closed, Expr::value(true))
                .filter(topic::Column::Id.is_in(closed))
                .exec(tx)
                .await?;
        }
        for rows in power_of_two_batches(&rows) {
            let mut insert = Query::insert();
            insert.into_table(event::Entity).columns([
                event::Column::TopicId,
                event::Column::Seq,
                event::Column::Kind,
                event::Column::Data,
                event::Column::Terminal,
                event::Column::At,
                event::Column::Nonce,
                event::Column::PriorNonce,
            ]);
            for (topic_id, seq, prior_nonce, event) in rows {
                insert.values_panic([
                    (*topic_id).into(),
                    (*seq).into(),
                    event.kind.as_str().into(),
                    event.data.as_str().into(),
                    event.terminal.into(),
                    at.into(),
                    nonce.into(),
                    (*prior_nonce).into(),
                ]);
            }
            tx.execute(&insert).await?;
        }
        Ok(numbers)
    }
}

/// Advances the heads of topics by these numbers of events, with this nonce. Creates missing rows. Returns the rows by
/// name, as they were before the change. Locks the rows in the given order.
pub(super) async fn reserve_positions(
    tx: &Transaction,
    topics: &[(&str, usize)],
    nonce: i32,
) -> Result<HashMap<String, topic::Model>, DbErr> {
    let mut heads = HashMap::with_capacity(topics.len());
    for topics in power_of_two_batches(topics) {
        let mut upsert = Query::insert();
        upsert.into_table(topic::Entity).columns([
            topic::Column::Name,
            topic::Column::Epoch,
            topic::Column::LastSeq,
            topic::Column::Nonce,
            topic::Column::PriorNonce,
        ]);
        for (name, count) in topics {
            // 48 bits: short on the wire, and long enough that a topic that is created again gets another epoch.
            let epoch = rand::random_range(1..1_i64 << 48);
            let nonce = if *count == 0 { 0 } else { nonce };
            upsert.values_panic([
                (*name).into(),
                epoch.into(),
                count_of(*count).into(),
                nonce.into(),
                0.into(),
            ]);
        }
        let old = |column| Expr::col((topic::Entity, column));
        let new = |column| Expr::col((Alias::new("excluded"), column));
        // A topic that is locked without new events keeps the nonce of its newest event.
        let nonce = Expr::case(new(topic::Column::LastSeq).eq(0), old(topic::Column::Nonce))
            .finally(new(topic::Column::Nonce));
        let conflict = OnConflict::column(topic::Column::Name)
            .value(
                topic::Column::LastSeq,
                old(topic::Column::LastSeq).add(new(topic::Column::LastSeq)),
            )
            .value(topic::Column::Nonce, nonce)
            .value(topic::Column::PriorNonce, old(topic::Column::Nonce))
            .to_owned();
        upsert.on_conflict(conflict).returning_all();
        for row in tx.query_all(&upsert).await? {
            let row = topic::Model::from_query_result(&row, "")?;
            heads.insert(row.name.clone(), row);
        }
    }
    for (name, count) in topics {
        if let Some(head) = heads.get_mut(*name) {
            head.last_seq -= count_of(*count);
            head.nonce = head.prior_nonce;
        }
    }
    Ok(heads)
}

/// A count in the type of the column.
fn count_of(events: usize) -> i64 {
    i64::try_from(events).unwrap_or(i64::MAX)
}

/// Splits rows into groups whose sizes are powers of two. So there are few different statements, and the database has
/// nearly all of them prepared.
fn power_of_two_batches<T>(mut rows: &[T]) -> impl Iterator<Item = &[T]> {
    iter::from_fn(move || {
        let size = 1 << rows.len().min(ROWS_PER_INSERT).checked_ilog2()?;
        rows.split_off(..size)
    })
}

fn missing_topic(addition: &NewEvents) -> DbErr {
    DbErr::RecordNotFound(format!("the log of {}", addition.topic))
}
