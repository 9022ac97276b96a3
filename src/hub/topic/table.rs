//! The topics that have open streams.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::event::Topic;

/// Holds a `T` for each topic that has an open stream, and counts these streams. The table is generic, because a `T`
/// contains the table that it calls [`Self::release`] on.
pub struct TopicTable<T>(Mutex<HashMap<Topic, (Arc<T>, usize)>>);

impl<T> TopicTable<T> {
    /// A table without topics.
    pub fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::default()))
    }

    /// Counts one more stream of a topic, and returns the topic's `T`. The first stream creates it with `new`.
    pub fn join(&self, topic: &Topic, new: impl FnOnce() -> Arc<T>) -> Arc<T> {
        let mut topics = self.topics();
        let (joined, streams) = topics.entry(topic.clone()).or_insert_with(|| (new(), 0));
        *streams += 1;
        Arc::clone(joined)
    }

    /// Counts one stream less. The last stream removes the topic.
    pub fn release(&self, topic: &Topic) {
        let mut topics = self.topics();
        if let Some((_, streams)) = topics.get_mut(topic) {
            *streams -= 1;
            if *streams == 0 {
                topics.remove(topic);
            }
        }
    }

    /// The `T` of a topic. `None` if the topic has no open stream.
    pub fn get(&self, topic: &Topic) -> Option<Arc<T>> {
        self.topics().get(topic).map(|(joined, _)| Arc::clone(joined))
    }

    /// The `T` of every topic that has an open stream.
    pub fn all(&self) -> Vec<Arc<T>> {
        self.topics().values().map(|(joined, _)| Arc::clone(joined)).collect()
    }

    fn topics(&self) -> MutexGuard<'_, HashMap<Topic, (Arc<T>, usize)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
