//! The hub: live delivery in one process.
//!
//! A frame's way, from the publisher to the socket:
//!
//! 1. here, a transaction commits ([`Hub::commit`], [`Hub::publish`]) and its events are encoded
//!    once;
//! 2. `live.rs`: they are put into the ring of their topic, which tells its audience;
//! 3. `reactor.rs`: many subscribers are walked through by the threads that hold their sockets;
//! 4. `audience.rs`: what is new behind each one's cursor is written to its socket.
//!
//! A stream that has more to do than to be written to, or has not kept up, or is one of a few, sees
//! to itself: `outlet.rs` drives it along its `course.rs`. Nothing is queued per subscriber. Whoever
//! finds a gap, a subscriber behind the ring or a ring behind the log, reads the event log
//! (`catch_up.rs`), so the bus may lose anything without a client noticing; unless the subscriber
//! would rather miss something (`course/overflow.rs`).
//!
//! Streams of many topics are made of such streams (`merge.rs`). What one connection takes from
//! others, and what there is to say about it, is in `connection.rs`.

mod audience;
mod catch_up;
mod clock;
mod connection;
mod course;
mod end;
mod frame;
mod live;
mod merge;
mod open;
mod outlet;
mod publisher;
mod reactor;
mod ring;
mod send;

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use sea_orm::DbErr;
use tokio::{runtime::Handle, sync::Semaphore};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::{
    bus::{Bus, Message},
    database::Transaction,
    event::{Event, NewEvent, Topic},
    event_log::{Addition, EventLog},
    telemetry::Telemetry,
};

pub use connection::{Connected, Opener};
pub use merge::{Access, Merge, OpenMany};
pub use open::{
    Bounds, Handover, Open, Opening, Resume, Snapshot, Source, Subject, Subscription, Wanted,
};
pub use publisher::PublishError;

use frame::Frame;
use live::{Live, Pushed};
use publisher::Publisher;
use reactor::Reactors;
use ring::Known;

/// Subscribers that read the log at the same time.
const READERS: usize = 4;

/// How streams behave, as configured.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Longest silence on a stream, and how often the log is looked at.
    pub heartbeat: Duration,
    /// Events kept in memory for each live topic.
    pub buffer_events: usize,
    /// What clients are told to wait before they reconnect, before jitter.
    pub retry: Duration,
    /// Threads that write to sockets.
    pub reactors: usize,
    /// Whether they send by io_uring where the kernel has it.
    pub io_uring: bool,
}

/// Live delivery.
pub struct Hub {
    log: EventLog,
    bus: Arc<dyn Bus>,
    node: Uuid,
    settings: Settings,
    telemetry: Arc<Telemetry>,
    publisher: Publisher,
    /// Every topic that has a subscriber, and how many.
    topics: Mutex<HashMap<Topic, (Arc<Live>, usize)>>,
    reactors: Arc<Reactors>,
    /// Subscribers wait for their turn to read the log.
    readers: Semaphore,
    tasks: TaskTracker,
    /// Where tasks run that a reactor starts.
    runtime: Handle,
    /// Every stream is to end.
    closing: AtomicBool,
}

impl Hub {
    /// A hub for the gateway `node`. Its background work runs on `tasks`, which also wait for open
    /// streams.
    pub fn new(
        log: EventLog,
        bus: Arc<dyn Bus>,
        node: Uuid,
        settings: Settings,
        telemetry: Arc<Telemetry>,
        tasks: TaskTracker,
    ) -> io::Result<Arc<Self>> {
        let reactors = Reactors::start(settings.reactors, settings.heartbeat, settings.io_uring)?;
        Ok(Arc::new_cyclic(|hub| Self {
            publisher: Publisher::start(hub.clone(), log.clone(), Arc::clone(&telemetry)),
            log,
            bus,
            node,
            settings,
            telemetry,
            topics: Mutex::default(),
            reactors,
            readers: Semaphore::new(READERS),
            tasks,
            runtime: Handle::current(),
            closing: AtomicBool::new(false),
        }))
    }

    /// The log behind it.
    #[must_use]
    pub fn log(&self) -> &EventLog {
        &self.log
    }

    /// What clients are told to wait before they reconnect, before jitter.
    #[must_use]
    pub fn retry(&self) -> Duration {
        self.settings.retry
    }

    /// Commits a transaction and delivers the events that were appended in it.
    ///
    /// To be driven to its end: a caller that is dropped between the two leaves its events to the
    /// next heartbeat. Operations that change something are (see `api::edge`).
    pub async fn commit(
        self: &Arc<Self>,
        tx: Transaction,
        events: Vec<Event>,
    ) -> Result<(), DbErr> {
        let began = Instant::now();
        tx.commit().await?;
        self.telemetry.committed(began.elapsed());
        let topics: Vec<Topic> =
            events.chunk_by(|a, b| a.topic == b.topic).map(|run| run[0].topic.clone()).collect();
        self.committed(events);
        for topic in topics {
            self.room(&topic).await;
        }
        Ok(())
    }

    /// Writes events that tell of nothing but themselves, many callers' in one transaction, and
    /// delivers them. Acknowledged after the commit, and done even if the caller goes away.
    pub async fn publish(
        &self,
        topic: Topic,
        events: Vec<NewEvent>,
    ) -> Result<Vec<Event>, PublishError> {
        self.room(&topic).await;
        self.publisher.publish(Addition { topic, fence: None, events }).await
    }

    /// The same under a lease: refused when its token is not the newest at the time of writing.
    pub async fn publish_under(
        &self,
        lease_token: Uuid,
        topic: Topic,
        events: Vec<NewEvent>,
    ) -> Result<Vec<Event>, PublishError> {
        self.room(&topic).await;
        self.publisher.publish(Addition { topic, fence: Some(lease_token), events }).await
    }

    /// Waits while the subscribers of a topic, though they read, cannot be written to as fast as it
    /// moves: publishers are held back before anything has to be queued or looked up.
    pub async fn room(&self, topic: &Topic) {
        if let Some(live) = self.live(topic) {
            live.room().await;
        }
    }

    /// Whether anybody watches the topic here.
    #[must_use]
    pub fn is_watched(&self, topic: &Topic) -> bool {
        self.topics().contains_key(topic)
    }

    /// Ends every stream with `stream.closed`.
    pub fn close(&self) {
        self.closing.store(true, Ordering::Release);
        self.look();
    }

    /// Drops every stream that is still open.
    pub fn abort(&self) {
        self.reactors.stop();
    }

    /// Looks for streams that have to end, because a session does.
    pub fn look(&self) {
        self.reactors.look();
    }

    fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Compares every live topic with its log. Fetches what the bus has lost; has subscribers start
    /// over where the log was replaced by another one.
    pub async fn recheck(self: &Arc<Self>) -> Result<(), DbErr> {
        let lives: Vec<Arc<Live>> =
            self.topics().values().map(|(live, _)| Arc::clone(live)).collect();
        // Before the log is read: what a ring holds is committed, so a log that is read afterwards
        // and lacks it was replaced. `fill` makes sure of that before anybody is told.
        let known: Vec<Option<Known>> = lives.iter().map(|live| live.known()).collect();
        let topics: Vec<Topic> = lives.iter().map(|live| live.topic().clone()).collect();
        let positions = self.log.positions(&topics).await?;
        for (live, known) in lives.into_iter().zip(known) {
            let head = positions.get(live.topic().as_str());
            // Logs are deleted some time after their last event.
            if head.map_or(!live.is_over(), |head| !live.agrees(known, *head)) {
                self.fill(live);
            }
        }
        Ok(())
    }

    fn committed(self: &Arc<Self>, events: Vec<Event>) {
        if events.is_empty() {
            return;
        }
        for run in events.chunk_by(|a, b| a.topic.family() == b.topic.family()) {
            self.telemetry.published(run[0].topic.family().name(), run.len() as u64);
        }
        self.deliver(&events);
        self.bus.publish(self.node, Message::Events(events));
    }

    /// Hands committed events to their subscribers in this process.
    pub fn deliver(self: &Arc<Self>, events: &[Event]) {
        for run in events.chunk_by(|a, b| a.topic == b.topic) {
            let Some(live) = self.live(&run[0].topic) else { continue };
            let frames = run.iter().map(|event| (event.cursor.epoch, Frame::from(event)));
            if live.push(frames) == Pushed::Gap {
                self.fill(live);
            }
        }
    }

    /// Joins a topic. Everything committed from now on reaches the ring. To be left again.
    fn join(&self, topic: &Topic) -> Arc<Live> {
        let mut topics = self.topics();
        let (live, subscribers) = topics.entry(topic.clone()).or_insert_with(|| {
            let delivered = self.telemetry.delivered(topic.family().name());
            let capacity = self.settings.buffer_events;
            (Arc::new(Live::new(topic.clone(), capacity, &self.reactors, delivered)), 0)
        });
        *subscribers += 1;
        Arc::clone(live)
    }

    /// Leaves a topic. The last one to go ends it.
    fn leave(&self, topic: &Topic) {
        let mut topics = self.topics();
        if let Some((_, subscribers)) = topics.get_mut(topic) {
            *subscribers -= 1;
            if *subscribers == 0 {
                topics.remove(topic);
            }
        }
    }

    fn live(&self, topic: &Topic) -> Option<Arc<Live>> {
        self.topics().get(topic).map(|(live, _)| Arc::clone(live))
    }

    fn topics(&self) -> MutexGuard<'_, HashMap<Topic, (Arc<Live>, usize)>> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.reactors.stop();
    }
}
