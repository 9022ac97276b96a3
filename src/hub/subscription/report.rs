//! The description of open streams, for callers.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::{connection::OpenConnection, subscription::Subscription};

impl Subscription {
    /// Whether it is open and belongs to this user. Every open one belongs to `None`.
    pub fn belongs_to(&self, user: Option<Uuid>) -> bool {
        self.connection.as_ref().is_some_and(|connection| connection.belongs_to(user))
    }

    /// Whether it is open and on this connection.
    pub fn is_on(&self, id: Uuid) -> bool {
        self.connection.as_ref().is_some_and(|connection| connection.id() == id)
    }

    /// Adds it to its connection in the list.
    pub fn report(&self, list: &mut BTreeMap<Uuid, OpenConnection>) {
        let Some(connection) = &self.connection else { return };
        let reported = list.entry(connection.id()).or_insert_with(|| connection.describe());
        reported.topics.push(self.topic.name().clone());
        reported.delivered += self.delivered;
        reported.lag += self.behind();
    }

    /// Events by which it is behind its topic, as far as this gateway knows.
    fn behind(&self) -> u64 {
        let head = self.topic.head().filter(|head| head.history == self.position.history);
        head.map_or(0, |head| u64::try_from(head.seq - self.position.seq).unwrap_or_default())
    }
}
