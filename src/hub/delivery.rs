//! Delivery of committed events to the rings of their topics, in this gateway and in the others.

use std::sync::Arc;

use sea_orm::DbErr;
use uuid::Uuid;

use super::{
    context::Context,
    fanout::Subscribers,
    topic::{Frame, KnownEvents, LiveTopic, Pushed, TopicTable},
};
use crate::{
    bus::{Bus, Message},
    event::{Event, Topic},
};

/// Delivers committed events.
pub struct Delivery {
    context: Arc<Context>,
    topics: Arc<TopicTable<Subscribers>>,
    bus: Arc<dyn Bus>,
    node: Uuid,
}

impl Delivery {
    /// Creates the delivery to these topics. On the bus, this gateway is `node`.
    pub fn new(
        context: &Arc<Context>,
        topics: &Arc<TopicTable<Subscribers>>,
        bus: Arc<dyn Bus>,
        node: Uuid,
    ) -> Self {
        Self { context: Arc::clone(context), topics: Arc::clone(topics), bus, node }
    }

    /// Delivers events that this gateway has committed, to the subscribers in every gateway.
    pub fn committed(&self, events: Vec<Event>) {
        if events.is_empty() {
            return;
        }
        for run in events.chunk_by(|a, b| a.topic.family() == b.topic.family()) {
            let family = run[0].topic.family().name();
            self.context.telemetry.published(family, run.len() as u64);
        }
        self.deliver(&events);
        self.bus.publish(self.node, Message::Events(events));
    }

    /// Delivers committed events to their subscribers in this process.
    pub fn deliver(&self, events: &[Event]) {
        for run in events.chunk_by(|a, b| a.topic == b.topic) {
            let Some(subscribers) = self.topics.get(&run[0].topic) else { continue };
            let frames = run.iter().map(|event| (event.cursor.epoch, Frame::from(event)));
            if subscribers.topic().push(frames) == Pushed::Gap {
                subscribers.topic().fill();
            }
        }
    }

    /// Waits while the reactors write the events of a topic more slowly than they are published. Without this wait, the
    /// ring would drop events that a reactor has not written. Then even subscribers that read fast would need the log.
    pub async fn wait_for_capacity(&self, topic: &Topic) {
        if let Some(subscribers) = self.topics.get(topic) {
            subscribers.wait_for_capacity().await;
        }
    }

    /// Compares every live topic with its log, and reads the events that the bus has lost. If a log was replaced, the
    /// streams of its topic start over.
    pub async fn recheck(&self) -> Result<(), DbErr> {
        let topics = self.topics.all();
        let topics: Vec<&Arc<LiveTopic>> =
            topics.iter().map(|subscribers| subscribers.topic()).collect();
        // Read before the log, because all events in a ring are committed. If a later read of the log does not find
        // such an event, the log was replaced. `fill` verifies this before any stream starts over.
        let known: Vec<Option<KnownEvents>> = topics.iter().map(|topic| topic.known()).collect();
        let names: Vec<Topic> = topics.iter().map(|topic| topic.name().clone()).collect();
        let positions = self.context.log.positions(&names).await?;
        for (topic, known) in topics.into_iter().zip(known) {
            let head = positions.get(topic.name().as_str());
            // A topic that is over can have no log, because logs are deleted some time after their last event.
            if head.map_or(!topic.is_over(), |head| !topic.matches_log(known, *head)) {
                topic.fill();
            }
        }
        Ok(())
    }
}
