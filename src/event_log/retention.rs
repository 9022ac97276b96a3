//! Retention: prunes old events, and finds topics that have ended or are silent.

use std::time::Duration;

use entity::{Timestamp, event, topic};
use sea_orm::{
    ColumnTrait, DbErr, EntityTrait, ExprTrait, QueryFilter, QueryOrder, QuerySelect, Select,
    sea_query::{Expr, Query, SelectStatement},
};

use super::log::EventLog;
use crate::{
    clock::Reading,
    event::{Family, Topic},
};

/// Maximum number of topics in one page.
const TOPICS_PER_QUERY: u64 = 200;

/// Maximum number of rows that one `DELETE` prunes, so that publishers do not wait for long.
const ROWS_PER_PRUNE: i64 = 5_000;

/// Retention of events. An event that exceeds one of the two limits is pruned.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// Maximum number of events of each topic. The newest events are kept.
    pub events: u64,
    /// Maximum age of events, in seconds.
    pub seconds: u64,
}

impl Retention {
    /// Time before which events are pruned.
    #[must_use]
    pub fn cutoff(self, now: &Reading) -> Timestamp {
        now.cutoff(Duration::from_secs(self.seconds))
    }
}

impl EventLog {
    /// Deletes the events of a family that exceed the retention, and returns their number. Deletes only the oldest
    /// events of a topic, and keeps the newest event of a topic that has not ended.
    pub async fn prune(
        &self,
        family: Family,
        retention: Retention,
        now: &Reading,
    ) -> Result<u64, DbErr> {
        let keep = i64::try_from(retention.events).unwrap_or(i64::MAX);
        let cutoff = retention.cutoff(now);
        let mut after_id = 0;
        let mut pruned = 0;
        loop {
            let heads = topics_of(family)
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

    /// A page of the topics of a family that have ended and have no events left in the log. The order is not defined.
    pub async fn ended(&self, family: Family) -> Result<Vec<Topic>, DbErr> {
        let rows = topics_of(family)
            .filter(topic::Column::Closed.eq(true))
            .filter(Expr::not_exists(events()))
            .limit(TOPICS_PER_QUERY)
            .all(self.database.reader())
            .await?;
        Ok(rows.iter().filter_map(|row| row.name.parse().ok()).collect())
    }

    /// A page of the topics of a family that have not ended and had no event since `cutoff`. The page is in the order
    /// of names, and starts after `after`.
    pub async fn silent(
        &self,
        family: Family,
        cutoff: Timestamp,
        after: Option<&Topic>,
    ) -> Result<Vec<Topic>, DbErr> {
        let newest = Expr::col((event::Entity, event::Column::Seq))
            .equals((topic::Entity, topic::Column::LastSeq));
        let newer = events().and_where(newest).and_where(event::Column::At.gte(cutoff)).to_owned();
        let mut query = topics_of(family)
            .filter(topic::Column::Closed.eq(false))
            .filter(Expr::not_exists(newer))
            .order_by_asc(topic::Column::Name)
            .limit(TOPICS_PER_QUERY);
        if let Some(after) = after {
            query = query.filter(topic::Column::Name.gt(after.as_str()));
        }
        let rows = query.all(self.database.reader()).await?;
        Ok(rows.iter().filter_map(|row| row.name.parse().ok()).collect())
    }

    async fn prune_topic(
        &self,
        head: &topic::Model,
        surplus: i64,
        cutoff: Timestamp,
    ) -> Result<u64, DbErr> {
        let end_of_log = |newest| {
            let rows = event::Entity::find().filter(event::Column::TopicId.eq(head.id));
            let rows = if newest {
                rows.filter(event::Column::At.lt(cutoff)).order_by_desc(event::Column::Seq)
            } else {
                rows.order_by_asc(event::Column::Seq)
            };
            rows.one(self.database.reader())
        };
        let Some(oldest) = end_of_log(false).await? else {
            return Ok(0);
        };
        // Most topics have nothing to prune, and the first row shows that.
        let outdated =
            if oldest.at < cutoff { end_of_log(true).await?.map_or(0, |row| row.seq) } else { 0 };
        // The newest event of a topic that has not ended stays. Its time shows how long the topic has been silent.
        let end = head.last_seq - i64::from(!head.closed);
        let last = Ord::min(Ord::max(surplus, outdated), end);
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

fn topics_of(family: Family) -> Select<topic::Entity> {
    topic::Entity::find().filter(topic::Column::Name.starts_with(format!("{}.", family.name())))
}

/// A subquery for the events of the topic in the outer query.
fn events() -> SelectStatement {
    let of_topic = Expr::col((event::Entity, event::Column::TopicId))
        .equals((topic::Entity, topic::Column::Id));
    Query::select().column(event::Column::Seq).from(event::Entity).and_where(of_topic).to_owned()
}
