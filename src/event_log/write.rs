//! Writes to the event log in a transaction of the caller.

use entity::topic;
use sea_orm::{ColumnTrait, DbErr, EntityTrait, QueryFilter, sea_query::Expr};
use uuid::Uuid;

use super::{
    append::{AppendError, NewEvents, reserve_positions},
    log::EventLog,
};
use crate::{
    database::Transaction,
    event::{Event, NewEvent, Topic},
};

impl EventLog {
    /// Creates the log of a new resource, in the transaction that creates the resource.
    pub async fn create(&self, tx: &Transaction, topic: &Topic) -> Result<(), DbErr> {
        reserve_positions(tx, &[(topic.as_str(), 0)], 0).await.map(drop)
    }

    /// Appends events in the transaction of the change that they report. The topic's row stays locked until the
    /// transaction ends.
    ///
    /// # Errors
    /// [`AppendError::Refused`] with [`AppendRefused::Closed`](crate::event_log::AppendRefused::Closed) if the last
    /// event of the topic has been written. Never [`AppendRefused::Fenced`](crate::event_log::AppendRefused::Fenced),
    /// because these events are under no lease.
    pub async fn append(
        &self,
        tx: &Transaction,
        topic: &Topic,
        events: Vec<NewEvent>,
    ) -> Result<Vec<Event>, AppendError> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let additions = [NewEvents { topic: topic.clone(), fence: None, events }];
        let numbers = self.append_all(tx, &additions).await?;
        let mut events = Vec::new();
        for (number, addition) in numbers.into_iter().zip(additions) {
            events.extend(number?.into_events(addition));
        }
        Ok(events)
    }

    /// Fences a topic: from now on, an addition with another token is refused. `None` refuses every addition with a
    /// token. Additions without a token are not checked.
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

    /// Deletes the logs of these topics, in the transaction that deletes their resources.
    pub async fn remove(&self, tx: &Transaction, topics: &[Topic]) -> Result<(), DbErr> {
        topic::Entity::delete_many()
            .filter(topic::Column::Name.is_in(topics.iter().map(Topic::as_str)))
            .exec(tx)
            .await
            .map(drop)
    }
}
