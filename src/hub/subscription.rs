//! The whole life of one stream: where it starts, what it sends, why it ends.
//!
//! The order of opening is what makes a stream whole: first the topic is joined, so that nothing
//! committed from now on can be missed, then the snapshot is read, whose cursor says which events
//! it already holds, then everything after that cursor is sent, from the ring or from the log.

use std::{collections::VecDeque, pin::Pin, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{Stream, stream};
use prometheus_client::metrics::counter::Counter;
use sea_orm::DbErr;
use tokio::{
    sync::oneshot,
    time::{Instant, Sleep},
};
use uuid::Uuid;

use super::{
    Hub, PAGE,
    hold::{End, Hold, guard},
    ring::{Live, Pulled, coalesce},
};
use crate::{
    event::{self, Cursor, Frame, Topic},
    event_log::{LogError, Stale},
    limit::{Slot, jittered},
    session::Watch,
};

/// What a stream is about, for the beginning and for a fresh start.
#[async_trait]
pub trait Source: Send + Sync + 'static {
    /// The present state and the cursor that belongs to it, as of one moment. `reset` is to be
    /// carried in the data: why the stream starts afresh although the client had a cursor.
    async fn snapshot(&self, reset: Option<&'static str>) -> Result<Snapshot, DbErr>;
}

/// The state of a resource.
#[derive(Debug)]
pub struct Snapshot {
    /// The newest event that the state includes.
    pub cursor: Cursor,
    /// JSON text as [`event::json`] makes it.
    pub data: String,
    /// Whether no event can follow.
    pub terminal: bool,
}

/// Where the client wants to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume {
    /// It has seen nothing yet.
    Start,
    /// After this event.
    After(Cursor),
    /// It sent something that is not a cursor.
    Unreadable,
}

/// Ends that the client asks for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bounds {
    /// After this many events, the snapshot included.
    pub max_events: Option<u64>,
    /// After this time.
    pub max_time: Option<Duration>,
}

/// A stream to be opened for a caller that has been let in.
pub struct Open {
    /// About what.
    pub topic: Topic,
    /// Its state.
    pub source: Arc<dyn Source>,
    /// Whether its last event has been written.
    pub finished: bool,
    /// From where.
    pub resume: Resume,
    /// Until when.
    pub bounds: Bounds,
    /// Whose session, under watch.
    pub watch: Watch,
    /// The place that it takes.
    pub slot: Slot,
    /// The request that opens it, for the log.
    pub request: Uuid,
    /// The data of the `error` event that ends it should it break: JSON text on one line.
    pub failure: String,
}

/// What opening a stream comes to.
pub enum Opening {
    /// Events follow.
    Stream(Box<Subscription>),
    /// The client has seen the last event that there will ever be.
    Complete,
}

/// One open stream. Dropping it frees its slot and its place in the topic, on whatever way.
pub struct Subscription {
    hub: Arc<Hub>,
    live: Arc<Live>,
    /// Its slot and its place in the topic.
    hold: Arc<Hold>,
    changes: tokio::sync::watch::Receiver<()>,
    source: Arc<dyn Source>,
    cursor: Cursor,
    /// Events that may still be sent.
    left: u64,
    /// What is to be written before the ring is looked at.
    ready: VecDeque<Bytes>,
    /// The ring is behind the log, and so behind this subscriber: wait until that is mended.
    stalled: bool,
    /// Set once nothing is to follow what is ready.
    end: Option<End>,
    /// Told when something ends the stream from outside.
    stop: oneshot::Receiver<End>,
    heartbeat: Pin<Box<Sleep>>,
    delivered: Counter,
    request: Uuid,
    failure: String,
}

impl Hub {
    /// Opens a stream.
    pub async fn open(self: &Arc<Self>, open: Open) -> Result<Opening, DbErr> {
        let Open { topic, source, finished, resume, bounds, mut watch, slot, request, failure } =
            open;
        let member = self.join(&topic).await?;
        let live = Arc::clone(&member.live);
        let changes = live.changes();
        let deadline = bounds.max_time.map(|time| Instant::now() + time);
        let closing = self.closing.clone();
        let stop = async move {
            let deadline = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                ended = watch.ended() => End::Session(ended),
                () = closing.cancelled() => End::Shutdown,
                () = deadline => End::MaxSeconds,
            }
        };
        let family = topic.family().name();
        let hold = Arc::new(Hold::new(self, family, slot, member));
        let (told, stopped) = oneshot::channel();
        tokio::spawn(guard(stop, told, Arc::clone(&hold)));
        let mut subscription = Box::new(Subscription {
            hub: Arc::clone(self),
            live,
            hold,
            changes,
            source,
            cursor: Cursor { epoch: 0, seq: 0 },
            left: bounds.max_events.unwrap_or(u64::MAX),
            ready: VecDeque::from([preamble(self.settings.retry)]),
            stalled: false,
            end: None,
            stop: stopped,
            heartbeat: Box::pin(tokio::time::sleep(self.settings.heartbeat)),
            delivered: self.telemetry.delivered(family),
            request,
            failure,
        });
        match subscription.resume(resume, finished).await? {
            Resumed::Complete => return Ok(Opening::Complete),
            Resumed::From(cursor) => subscription.cursor = cursor,
            Resumed::Afresh(reset) => subscription.restart(reset).await?,
        }
        subscription.hold.count();
        Ok(Opening::Stream(subscription))
    }
}

/// How a wish to resume can be met.
enum Resumed {
    From(Cursor),
    Afresh(Option<&'static str>),
    Complete,
}

impl Subscription {
    /// The bytes of the stream, as they come.
    pub fn frames(self: Box<Self>) -> impl Stream<Item = Bytes> + Send + 'static {
        stream::unfold(self, |mut this| async move { Some((this.next().await?, this)) })
    }

    async fn resume(&mut self, resume: Resume, finished: bool) -> Result<Resumed, DbErr> {
        let cursor = match resume {
            Resume::Start => return Ok(Resumed::Afresh(None)),
            Resume::Unreadable => {
                return Ok(Resumed::Afresh(Some(Stale::UnknownCursor.reason())));
            }
            Resume::After(cursor) => cursor,
        };
        let live = &self.live;
        match live.pull(cursor, 1) {
            // Whether there is nothing more only the log knows: the ring may not have heard yet.
            Pulled::Nothing if !finished => return Ok(Resumed::From(cursor)),
            Pulled::Frames { .. } => return Ok(Resumed::From(cursor)),
            Pulled::Nothing | Pulled::Behind => {}
        }
        match self.hub.log.after(live.topic(), cursor, 1).await {
            Ok(page) if page.events.is_empty() && finished => Ok(Resumed::Complete),
            Ok(page) => {
                if page.events.iter().any(|event| live.is_behind(event.cursor)) {
                    self.hub.fill(Arc::clone(live));
                }
                Ok(Resumed::From(cursor))
            }
            Err(LogError::Stale(stale)) => Ok(Resumed::Afresh(Some(stale.reason()))),
            Err(LogError::Database(error)) => Err(error),
        }
    }

    /// The next write, or the end.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                self.heartbeat.as_mut().reset(Instant::now() + self.hub.settings.heartbeat);
                return Some(bytes);
            }
            if self.end.is_some() {
                return None;
            }
            if self.left == 0 {
                // A bound that is counted in events: not even `stream.closed` may follow.
                self.end = Some(End::MaxEvents);
                return None;
            }
            tokio::select! {
                // What ends a stream goes before what feeds it, or a busy topic would outlive its
                // subscriber's session.
                biased;
                end = &mut self.stop => self.close(end.unwrap_or(End::ClientGone)),
                pulled = pull(
                    &self.live, &mut self.changes, self.cursor, self.left, self.stalled
                ) => {
                    self.stalled = false;
                    self.take(pulled).await;
                }
                () = &mut self.heartbeat => self.ready.push_back(Bytes::from_static(b":\n\n")),
            }
        }
    }

    async fn take(&mut self, pulled: Pulled) {
        match pulled {
            Pulled::Nothing => {}
            Pulled::Frames { bytes, count, seq, terminal } => {
                self.send(bytes, count, seq, terminal);
            }
            Pulled::Behind => {
                if let Err(error) = self.catch_up().await {
                    self.fail(&error);
                }
            }
        }
    }

    fn send(&mut self, bytes: Bytes, count: u64, seq: i64, terminal: bool) {
        self.ready.push_back(bytes);
        self.delivered.inc_by(count);
        self.left -= count;
        self.cursor.seq = seq;
        if terminal {
            self.close(End::Completed);
        }
    }

    /// Reads a page of the log, or starts afresh when what was missed is no longer there.
    async fn catch_up(&mut self) -> Result<(), DbErr> {
        let topic = self.live.topic().clone();
        self.hub.telemetry.caught_up(topic.family().name());
        match self.hub.log.after(&topic, self.cursor, PAGE.min(self.left)).await {
            Ok(page) => {
                let frames: Vec<Frame> = page.events.iter().map(Frame::from).collect();
                if let Some(last) = frames.last() {
                    let bytes = coalesce(&frames.iter().collect::<Vec<_>>());
                    self.send(bytes, frames.len() as u64, last.seq, last.terminal);
                } else {
                    self.hub.fill(Arc::clone(&self.live));
                    self.stalled = true;
                }
                Ok(())
            }
            Err(LogError::Stale(stale)) => self.restart(Some(stale.reason())).await,
            Err(LogError::Database(error)) => Err(error),
        }
    }

    /// Sends the present state and goes on from there.
    async fn restart(&mut self, reset: Option<&'static str>) -> Result<(), DbErr> {
        if let Some(reason) = reset {
            self.hub.telemetry.reset(self.live.topic().family().name(), reason);
        }
        let snapshot = self.source.snapshot(reset).await?;
        let bytes = event::block(Some(snapshot.cursor), "snapshot", &snapshot.data);
        self.cursor = snapshot.cursor;
        self.send(bytes, 1, snapshot.cursor.seq, snapshot.terminal);
        Ok(())
    }

    /// Says why the stream ends. After a shutdown clients are told to come back, spread out.
    fn close(&mut self, end: End) {
        if self.end.is_some() {
            return;
        }
        self.end = Some(end);
        if end == End::Completed && self.left == 0 {
            return;
        }
        let data = event::json(&serde_json::json!({ "reason": end.reason() }));
        let mut text = Vec::new();
        if end == End::Shutdown {
            text.extend_from_slice(retry_line(self.hub.settings.retry).as_bytes());
        }
        text.extend_from_slice(&event::block(None, "stream.closed", &data));
        self.ready.push_back(text.into());
    }

    fn fail(&mut self, error: &DbErr) {
        let topic = self.live.topic();
        tracing::error!(%topic, id = %self.request, %error, "a stream broke");
        self.end = Some(End::Failed);
        let retry = retry_line(self.hub.settings.retry);
        let block = event::block(None, "error", &self.failure);
        self.ready.push_back([retry.as_bytes(), &block].concat().into());
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.hold.release(self.end.unwrap_or(End::ClientGone));
    }
}

/// Waits until there is something to take; if `stalled`, not before the ring has changed.
async fn pull(
    live: &Live,
    changes: &mut tokio::sync::watch::Receiver<()>,
    cursor: Cursor,
    most: u64,
    mut stalled: bool,
) -> Pulled {
    loop {
        // The ring lives as long as its members, so waiting never fails; if it did, nothing follows.
        if stalled && changes.changed().await.is_err() {
            return std::future::pending().await;
        }
        // Marked as seen before looking, so that a change in between wakes us.
        changes.borrow_and_update();
        match live.pull(cursor, most) {
            Pulled::Nothing => stalled = true,
            pulled => return pulled,
        }
    }
}

/// The first bytes, sent at once so that every proxy passes the head on.
fn preamble(retry: Duration) -> Bytes {
    format!(":\n{}\n", retry_line(retry)).into()
}

fn retry_line(retry: Duration) -> String {
    format!("retry: {}\n", jittered(retry).as_millis())
}
