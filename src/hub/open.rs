//! Opening a stream.
//!
//! The order makes a stream complete. First it joins the topic, so that it cannot miss an event
//! that is committed from now on. Then it reads the snapshot, whose cursor says which events the
//! state includes. Then it sends everything after that cursor, from the ring or from the log.

use std::{sync::Arc, time::Instant};

use sea_orm::DbErr;

use super::{
    context::Context,
    fanout::{PendingSubscription, Reactors, Subscribers},
    request::{Bounds, Open, Opened, RequestedTopic, Resume},
    subscription::{Client, Connection, Subscription, prelude},
    topic::{LiveTopic, Position, Pulled, TopicTable, chunk},
};
use crate::event_log::Stale;

/// Opens streams.
pub struct StreamOpener {
    context: Arc<Context>,
    topics: Arc<TopicTable<Subscribers>>,
    reactors: Arc<Reactors>,
}

/// The start of a stream.
enum Start {
    /// After an event.
    After(Position),
    /// With a snapshot, and the reason if the client had a cursor.
    Snapshot(Option<&'static str>),
    /// Nowhere: the client has the last event that there will ever be.
    Complete,
}

impl StreamOpener {
    /// Opens streams of these topics, which these reactors write to.
    pub fn new(
        context: &Arc<Context>,
        topics: &Arc<TopicTable<Subscribers>>,
        reactors: &Arc<Reactors>,
    ) -> Self {
        let (topics, reactors) = (Arc::clone(topics), Arc::clone(reactors));
        Self { context: Arc::clone(context), topics, reactors }
    }

    /// The state that all parts of the hub share.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// A connection for streams to be opened.
    pub fn connect(&self, client: Client) -> Arc<Connection> {
        Connection::new(&self.context, client)
    }

    /// Opens a stream on a new connection.
    pub async fn open(&self, open: Open) -> Result<Opened, DbErr> {
        let Open { topic, resume, bounds, client } = open;
        let mut opened = self.open_on(&self.connect(client), &topic, resume, bounds).await?;
        if let Opened::Stream(pending) = &mut opened {
            pending.lead(&chunk(&prelude(self.context.settings.retry)));
        }
        Ok(opened)
    }

    /// Opens a stream on a connection.
    pub async fn open_on(
        &self,
        connection: &Arc<Connection>,
        requested: &RequestedTopic,
        resume: Resume,
        bounds: Bounds,
    ) -> Result<Opened, DbErr> {
        let (name, context) = (&requested.name, &self.context);
        let new = || Subscribers::new(name, context, &self.topics, self.reactors.handles());
        // Everything committed from now on reaches the topic's ring.
        let subscribers = self.topics.join(name, new);
        let topic = Arc::clone(subscribers.topic());
        topic.set_subject(&requested.subject);
        let until = bounds.max_time.map(|time| Instant::now() + time);
        let ends = (bounds.max_events, until);
        // However this ends: from here on the subscription gives back what it holds.
        let mut subscription =
            Subscription::new(Arc::clone(&topic), Arc::clone(connection), ends, requested.overflow);
        match start(&topic, resume).await? {
            Start::Complete => return Ok(Opened::Complete),
            Start::After(position) => subscription.resume(position),
            Start::Snapshot(reset) => {
                subscription.start_over(&topic.current_snapshot(reset).await?);
            }
        }
        subscription.count();
        Ok(Opened::Stream(PendingSubscription::new(subscription, subscribers, &self.reactors)))
    }
}

async fn start(topic: &Arc<LiveTopic>, resume: Resume) -> Result<Start, DbErr> {
    let cursor = match resume {
        Resume::Start => return Ok(Start::Snapshot(None)),
        Resume::Unreadable => return Ok(Start::Snapshot(Some(Stale::UnknownCursor.reason()))),
        Resume::After(cursor) => cursor,
    };
    Ok(match topic.position_of(cursor).await? {
        Ok(position) if matches!(topic.pull(position, 1), Pulled::Over) => Start::Complete,
        Ok(position) => Start::After(position),
        Err(stale) => Start::Snapshot(Some(stale.reason())),
    })
}
