//! The live topics of this process: those that have an open stream here.

use std::sync::Arc;

use super::{
    context::Context,
    fanout::{ReactorHandle, Subscribers},
    topic::Table,
};
use crate::event::Topic;

/// See the module's documentation.
pub struct LiveTopics {
    context: Arc<Context>,
    reactors: Arc<[Arc<ReactorHandle>]>,
    table: Arc<Table<Subscribers>>,
}

impl LiveTopics {
    /// None yet. Their subscribers are spread over these reactors.
    pub fn new(context: &Arc<Context>, reactors: &Arc<[Arc<ReactorHandle>]>) -> Self {
        let (context, reactors) = (Arc::clone(context), Arc::clone(reactors));
        Self { context, reactors, table: Table::new() }
    }

    /// Joins a topic for one stream. Everything committed from now on reaches the topic's ring. A
    /// [`Subscription`](super::subscription::Subscription) leaves the topic again.
    pub fn join(&self, topic: &Topic) -> Arc<Subscribers> {
        let new = || Subscribers::new(topic, &self.context, &self.table, &self.reactors);
        self.table.join(topic, new)
    }

    /// The subscribers of a topic, if it is live.
    pub fn get(&self, topic: &Topic) -> Option<Arc<Subscribers>> {
        self.table.get(topic)
    }

    /// The subscribers of all live topics.
    pub fn all(&self) -> Vec<Arc<Subscribers>> {
        self.table.all()
    }
}
