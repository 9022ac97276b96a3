//! The description of open streams.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::{connection::OpenConnection, subscription::Subscription};

impl Subscription {
    /// Whether the stream is open and belongs to `user`. Every open stream belongs to `None`.
    pub fn belongs_to(&self, user: Option<Uuid>) -> bool {
        self.connection.as_ref().is_some_and(|connection| connection.belongs_to(user))
    }

    /// Whether the stream is open and on the connection with this id.
    pub fn is_on(&self, id: Uuid) -> bool {
        self.connection.as_ref().is_some_and(|connection| connection.id() == id)
    }

    /// Adds the stream to its connection in the list, if the stream is open.
    pub fn report(&self, list: &mut BTreeMap<Uuid, OpenConnection>) {
        let Some(connection) = &self.connection else { return };
        let reported = list.entry(connection.id()).or_insert_with(|| connection.describe());
        reported.topics.push(self.topic.name().clone());
        reported.delivered += self.delivered;
        reported.lag += self.behind();
    }

    /// Number of events by which the stream is behind its topic, as far as this gateway knows.
    pub(super) fn behind(&self) -> u64 {
        let head = self.topic.head().filter(|head| head.history == self.position.history);
        head.map_or(0, |head| u64::try_from(head.seq - self.position.seq).unwrap_or_default())
    }
}
