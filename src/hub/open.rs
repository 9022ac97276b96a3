//! Opens streams.
//!
//! The order of the steps ensures that a stream misses no event. First, the stream joins the topic, so that every event
//! that is committed from now on reaches it. Then it reads the snapshot, whose cursor is that of the newest event that
//! the state includes. Then it sends all events after that cursor, from the ring or from the log.

use std::{sync::Arc, time::Instant};

use sea_orm::DbErr;

use super::{
    context::Context,
    fanout::{PendingSubscription, Reactors, Subscribers},
    request::{Bounds, Open, Opened, RequestedTopic, Resume},
    subscription::{Client, Connection, Subscription, retry_line},
    topic::{LiveTopic, Position, Pulled, TopicTable, chunk},
};
use crate::event_log::StaleCursor;

/// Opens streams.
pub struct StreamOpener {
    context: Arc<Context>,
    topics: Arc<TopicTable<Subscribers>>,
    reactors: Arc<Reactors>,
}

/// The start of a stream.
enum Start {
    /// The stream starts after an event that the client has.
    After(Position),
    /// The stream starts with a snapshot. If the client had a cursor, this contains the reason.
    Snapshot(Option<StaleCursor>),
    /// No stream starts, because the client has the last event of the topic.
    Complete,
}

impl StreamOpener {
    /// Creates an opener for streams of `topics`, which `reactors` write to.
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

    /// Creates a connection without streams.
    pub fn connect(&self, client: Client) -> Arc<Connection> {
        Connection::new(&self.context, client)
    }

    /// Opens a stream on a new connection.
    pub async fn open(&self, open: Open) -> Result<Opened, DbErr> {
        let Open { topic, resume, bounds, client } = open;
        let mut opened = self.open_on(&self.connect(client), &topic, resume, bounds).await?;
        if let Opened::Stream(pending) = &mut opened {
            pending.prepend(&chunk(retry_line(self.context.settings.retry).as_bytes()));
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
        // Every event that is committed from now on reaches the topic's ring.
        let subscribers = self.topics.join(name, new);
        let topic = Arc::clone(subscribers.topic());
        topic.set_properties(&requested.properties);
        let until = bounds.max_time.map(|time| Instant::now() + time);
        let ends = (bounds.max_events, until);
        // From here on, the subscription releases what it holds when it is dropped, even after an error.
        let mut subscription =
            Subscription::new(Arc::clone(&topic), Arc::clone(connection), ends, requested.overflow);
        match start(&topic, resume).await? {
            Start::Complete => return Ok(Opened::Complete),
            Start::After(position) => subscription.resume(position),
            Start::Snapshot(reset) => {
                subscription.start_over(&topic.current_snapshot(reset).await?);
            }
        }
        subscription.count_as_open();
        Ok(Opened::Stream(PendingSubscription::new(subscription, subscribers, &self.reactors)))
    }
}

async fn start(topic: &Arc<LiveTopic>, resume: Resume) -> Result<Start, DbErr> {
    let cursor = match resume {
        Resume::Start => return Ok(Start::Snapshot(None)),
        Resume::Invalid => {
            return Ok(Start::Snapshot(Some(StaleCursor::UnknownCursor)));
        }
        Resume::After(cursor) => cursor,
    };
    Ok(match topic.position_of(cursor).await? {
        Ok(position) if matches!(topic.pull(position, 1), Pulled::TopicEnded) => Start::Complete,
        Ok(position) => Start::After(position),
        Err(stale) => Start::Snapshot(Some(stale)),
    })
}
