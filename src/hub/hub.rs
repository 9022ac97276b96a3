//! The type [`Hub`], which the layers above use.

use std::{
    collections::BTreeMap,
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use sea_orm::DbErr;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::{
    context::{Context, Settings},
    delivery::Delivery,
    fanout::{Reactors, Subscribers},
    merge::{self, MergedStream},
    open::StreamOpener,
    publish::{PublishError, Publisher},
    request::{Open, OpenMany, Opened},
    subscription::{End, OpenConnection},
    topic::TopicTable,
};
use crate::{
    bus::Bus,
    database::Transaction,
    event::{Event, NewEvent, Topic},
    event_log::{EventLog, NewEvents},
    telemetry::Telemetry,
};

/// Live delivery in one process.
pub struct Hub {
    context: Arc<Context>,
    topics: Arc<TopicTable<Subscribers>>,
    reactors: Arc<Reactors>,
    delivery: Arc<Delivery>,
    publisher: Publisher,
    opener: Arc<StreamOpener>,
}

impl Hub {
    /// Creates the hub of the gateway `node`, and starts the hub's threads. `tasks` tracks background work and open
    /// streams, so that a shutdown can wait for them.
    ///
    /// # Errors
    /// If the thread of a reactor or its `mio::Poll` cannot be created.
    pub fn new(
        log: EventLog,
        bus: Arc<dyn Bus>,
        node: Uuid,
        settings: Settings,
        telemetry: Arc<Telemetry>,
        tasks: TaskTracker,
    ) -> io::Result<Arc<Self>> {
        let reactors = Reactors::start(&settings)?;
        let context = Context::new(log, settings, telemetry, tasks);
        let topics = TopicTable::new();
        let delivery = Arc::new(Delivery::new(&context, &topics, bus, node));
        Ok(Arc::new(Self {
            publisher: Publisher::start(&context, &delivery),
            opener: Arc::new(StreamOpener::new(&context, &topics, &reactors)),
            context,
            topics,
            reactors,
            delivery,
        }))
    }

    /// The event log that the hub appends to and reads.
    #[must_use]
    pub fn log(&self) -> &EventLog {
        &self.context.log
    }

    /// Time that clients are told to wait before they reconnect, without jitter.
    #[must_use]
    pub fn retry(&self) -> Duration {
        self.context.settings.retry
    }

    /// Commits a transaction, and delivers the events that were appended in it.
    ///
    /// The caller must not drop this future before it completes. If the future is dropped after the commit, its events
    /// are delivered only at the next heartbeat. The middleware of the API runs each operation that changes something
    /// to its end, even if the client disconnects.
    pub async fn commit(&self, tx: Transaction, events: Vec<Event>) -> Result<(), DbErr> {
        let began = Instant::now();
        tx.commit().await?;
        self.context.telemetry.committed(began.elapsed());
        let topics: Vec<Topic> =
            events.chunk_by(|a, b| a.topic == b.topic).map(|run| run[0].topic.clone()).collect();
        self.delivery.committed(events);
        for topic in topics {
            self.wait_for_capacity(&topic).await;
        }
        Ok(())
    }

    /// Writes events that change no row, and delivers them. Returns after the commit. One transaction contains the
    /// events of many callers. Once the events are in the queue, they are written even if the caller drops this future.
    ///
    /// # Errors
    /// - [`PublishError::Refused`] with [`AppendRefused::Closed`](crate::event_log::AppendRefused::Closed) if the last
    ///   event of the topic has been written.
    /// - [`PublishError::Database`] if the database refuses the events, or fails.
    /// - [`PublishError::Closed`] if the gateway is stopping.
    pub async fn publish(
        &self,
        topic: Topic,
        events: Vec<NewEvent>,
    ) -> Result<Vec<Event>, PublishError> {
        self.wait_for_capacity(&topic).await;
        self.publisher.publish(NewEvents { topic, fence: None, events }).await
    }

    /// Publishes events like [`Self::publish`], under a lease. The lease is checked at the time of the write.
    ///
    /// # Errors
    /// Those of [`Self::publish`], and [`PublishError::Refused`] with
    /// [`AppendRefused::Fenced`](crate::event_log::AppendRefused::Fenced) if `lease_token` is not the newest token of
    /// the topic.
    pub async fn publish_under(
        &self,
        lease_token: Uuid,
        topic: Topic,
        events: Vec<NewEvent>,
    ) -> Result<Vec<Event>, PublishError> {
        self.wait_for_capacity(&topic).await;
        self.publisher.publish(NewEvents { topic, fence: Some(lease_token), events }).await
    }

    /// Delivers events that another gateway has committed, to the subscribers in this process.
    pub fn deliver(&self, events: &[Event]) {
        self.delivery.deliver(events);
    }

    /// See [`Delivery::wait_for_capacity`].
    pub async fn wait_for_capacity(&self, topic: &Topic) {
        self.delivery.wait_for_capacity(topic).await;
    }

    /// See [`Delivery::recheck`].
    pub async fn recheck(&self) -> Result<(), DbErr> {
        self.delivery.recheck().await
    }

    /// Opens a stream.
    pub async fn open(&self, open: Open) -> Result<Opened, DbErr> {
        self.opener.open(open).await
    }

    /// Opens a stream of many topics on one connection.
    pub async fn open_many(&self, open: OpenMany) -> Result<Opened<MergedStream>, DbErr> {
        merge::open_many(&self.opener, open).await
    }

    /// Whether this gateway has an open stream of the topic.
    #[must_use]
    pub fn is_watched(&self, topic: &Topic) -> bool {
        self.topics.get(topic).is_some()
    }

    /// The open connections of this gateway, oldest first. If `user` is set, only those of that user.
    #[must_use]
    pub fn connections(&self, user: Option<Uuid>) -> Vec<OpenConnection> {
        let mut list = BTreeMap::new();
        for stream in self.reactors.streams() {
            stream.subscribers.report(&stream.subscriber, user, &mut list);
        }
        list.into_values().collect()
    }

    /// Ends an open connection of this gateway. If `user` is set, the connection must belong to that user. Returns
    /// whether a connection was ended.
    #[must_use]
    pub fn disconnect(&self, id: Uuid, user: Option<Uuid>) -> bool {
        self.end_connection(id, user, End::Disconnected)
    }

    /// Ends an open connection of this gateway, because another connection has resumed its stream. Its slot is free
    /// from now on.
    pub fn replace(&self, id: Uuid) {
        self.end_connection(id, None, End::Replaced);
    }

    fn end_connection(&self, id: Uuid, user: Option<Uuid>, end: End) -> bool {
        let streams = self.reactors.streams();
        let found = streams.iter().filter(|stream| stream.subscriber.is_on(id, user));
        found.map(|stream| stream.subscribers.end_with(&stream.subscriber, end)).count() > 0
    }

    /// Requests a check of all streams now. The check ends streams whose login session has ended.
    pub fn check_streams(&self) {
        self.reactors.check_now();
    }

    /// Ends every stream with `stream.closed`.
    pub fn close(&self) {
        self.context.close();
        self.check_streams();
    }

    /// Stops the reactors, and drops every stream that is still open.
    pub fn abort(&self) {
        self.reactors.stop();
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.reactors.stop();
    }
}
