//! The hub: live delivery in one process.
//!
//! A frame's way: a transaction commits ([`Hub::commit`], [`Hub::publish`]), its events are encoded
//! once and pushed into the ring of their topic (`ring.rs`), every subscriber of the topic wakes
//! and pulls what is new behind its own cursor (`subscription.rs`). Nothing is queued per
//! subscriber. Whoever finds a gap, a subscriber behind the ring or a ring behind the log, reads the
//! event log, so the bus may lose anything without a client noticing.

mod hold;
mod publisher;
mod ring;
mod subscription;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use sea_orm::{DatabaseTransaction, DbErr};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use crate::{
    bus::{Bus, Message},
    event::{Event, Frame, NewEvent, Topic},
    event_log::{EventLog, LogError},
    telemetry::Telemetry,
};

pub use publisher::PublishError;
pub use subscription::{Bounds, Open, Opening, Resume, Snapshot, Source, Subscription};

use publisher::Publisher;
use ring::{Live, Pushed};

/// Events in one look at the log: what a subscriber that catches up holds in memory.
const PAGE: u64 = 50;

/// How streams behave, as configured.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Longest silence on a stream, and how often the log is looked at.
    pub heartbeat: Duration,
    /// Events kept in memory for each live topic.
    pub buffer_events: usize,
    /// What clients are told to wait before they reconnect, before jitter.
    pub retry: Duration,
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
    tasks: TaskTracker,
    /// Ends every stream.
    closing: CancellationToken,
}

impl Hub {
    /// A hub for the gateway `node`. Its background work runs on `tasks`.
    #[must_use]
    pub fn new(
        log: EventLog,
        bus: Arc<dyn Bus>,
        node: Uuid,
        settings: Settings,
        telemetry: Arc<Telemetry>,
        tasks: TaskTracker,
    ) -> Arc<Self> {
        Arc::new_cyclic(|hub| Self {
            publisher: Publisher::start(hub.clone(), log.clone(), Arc::clone(&telemetry)),
            log,
            bus,
            node,
            settings,
            telemetry,
            topics: Mutex::default(),
            tasks,
            closing: CancellationToken::new(),
        })
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
        tx: DatabaseTransaction,
        events: Vec<Event>,
    ) -> Result<(), DbErr> {
        let began = Instant::now();
        tx.commit().await?;
        self.telemetry.committed(began.elapsed());
        self.committed(events);
        Ok(())
    }

    /// Writes events that tell of nothing but themselves, many callers' in one transaction, and
    /// delivers them. Acknowledged after the commit, and done even if the caller goes away.
    pub async fn publish(
        &self,
        topic: Topic,
        events: Vec<NewEvent>,
    ) -> Result<Vec<Event>, PublishError> {
        self.publisher.publish(topic, events).await
    }

    /// Ends every stream with `stream.closed`.
    pub fn close(&self) {
        self.closing.cancel();
    }

    /// Compares every live topic with its log and fetches what the bus has lost.
    pub async fn recheck(self: &Arc<Self>) -> Result<(), DbErr> {
        let topics: Vec<Topic> = self.topics().keys().cloned().collect();
        let positions = self.log.positions(&topics).await?;
        for topic in topics {
            let live = self.live(&topic);
            if let (Some(live), Some(head)) = (live, positions.get(topic.as_str()))
                && live.is_behind(*head)
            {
                self.fill(live);
            }
        }
        Ok(())
    }

    fn committed(self: &Arc<Self>, events: Vec<Event>) {
        if events.is_empty() {
            return;
        }
        for event in &events {
            self.telemetry.published(event.topic.family().name(), 1);
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

    /// Reads from the log what the ring lacks, one reader per topic however many notice.
    fn fill(self: &Arc<Self>, live: Arc<Live>) {
        if !live.begin_fill() {
            return;
        }
        self.telemetry.caught_up(live.topic().family().name());
        let hub = Arc::clone(self);
        self.tasks.spawn(async move {
            while live.fill_again() {
                if let Err(error) = hub.fill_once(&live).await {
                    // The next heartbeat tries again.
                    tracing::warn!(topic = %live.topic(), %error, "cannot read the event log");
                    live.give_up_fill();
                    return;
                }
            }
        });
    }

    async fn fill_once(&self, live: &Live) -> Result<(), DbErr> {
        loop {
            let Some(head) = live.head() else {
                return self.start(live).await;
            };
            match self.log.after(live.topic(), head, PAGE).await {
                Ok(page) => {
                    live.push(page.events.iter().map(|event| (head.epoch, Frame::from(event))));
                    if !page.has_more {
                        return Ok(());
                    }
                }
                // Pruned past the ring, or not the log it was: begin at the present.
                // Subscribers find out by themselves and start afresh.
                Err(LogError::Stale(_)) => return self.start(live).await,
                Err(LogError::Database(error)) => return Err(error),
            }
        }
    }

    async fn start(&self, live: &Live) -> Result<(), DbErr> {
        let head = self.log.position(self.log.database().reader(), live.topic()).await?;
        live.start(head);
        Ok(())
    }

    /// Joins a topic. Everything committed from now on reaches the ring.
    async fn join(self: &Arc<Self>, topic: &Topic) -> Result<Member, DbErr> {
        let live = {
            let mut topics = self.topics();
            let (live, subscribers) = topics.entry(topic.clone()).or_insert_with(|| {
                (Arc::new(Live::new(topic.clone(), self.settings.buffer_events)), 0)
            });
            *subscribers += 1;
            Arc::clone(live)
        };
        let member = Member { live, hub: Arc::clone(self) };
        if member.live.head().is_none() {
            self.start(&member.live).await?;
            // What arrived before the ring knew where it stands may have left a gap.
            if member.live.has_gap() {
                self.fill(Arc::clone(&member.live));
            }
        }
        Ok(member)
    }

    fn live(&self, topic: &Topic) -> Option<Arc<Live>> {
        self.topics().get(topic).map(|(live, _)| Arc::clone(live))
    }

    fn topics(&self) -> MutexGuard<'_, HashMap<Topic, (Arc<Live>, usize)>> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One subscriber's hold on a live topic; the last one to let go ends it.
struct Member {
    live: Arc<Live>,
    hub: Arc<Hub>,
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut topics = self.hub.topics();
        if let Some((_, subscribers)) = topics.get_mut(self.live.topic()) {
            *subscribers -= 1;
            if *subscribers == 0 {
                topics.remove(self.live.topic());
            }
        }
    }
}
