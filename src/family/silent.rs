//! Topics without an event for a long time.

use entity::Timestamp;
use sea_orm::DbErr;

use crate::{
    database::Transaction,
    event::{Family, Topic},
    event_log::{EventLog, ReadLimit},
    gateway::Gateway,
};

/// The open topics of a family that had no event since a given time, page by page.
pub struct SilentTopics<'a> {
    gateway: &'a Gateway,
    family: Family,
    since: Timestamp,
    /// The last topic of the previous page. `None` before the first page.
    after: Option<Topic>,
}

impl<'a> SilentTopics<'a> {
    /// The open topics of `family` without an event at or after `since`.
    #[must_use]
    pub fn new(gateway: &'a Gateway, family: Family, since: Timestamp) -> Self {
        Self { gateway, family, since, after: None }
    }

    /// The next page, in the order of the topics' names. `None` after the last page.
    pub async fn next_page(&mut self) -> Result<Option<Vec<Topic>>, DbErr> {
        let log = self.gateway.hub.log();
        let page = log.silent(self.family, self.since, self.after.as_ref()).await?;
        self.after = page.last().cloned();
        Ok((!page.is_empty()).then_some(page))
    }
}

/// Whether the topic had no event since `cutoff`. Locks the topic's log, so no event is added before
/// the transaction ends.
pub async fn is_silent(
    gateway: &Gateway,
    tx: &Transaction,
    topic: &Topic,
    cutoff: Timestamp,
) -> Result<bool, DbErr> {
    gateway.hub.log().create(tx, topic).await?;
    let (newest, _) = EventLog::newest(tx, topic, ReadLimit { events: 1, bytes: 0 }).await?;
    Ok(newest.last().is_none_or(|event| event.at < cutoff))
}
