//! The state machine of one open stream: what it sends next and why it ends.

use std::{
    num::NonZeroU64,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Buf, Bytes};
use sea_orm::DbErr;
use serde_json::json;
use uuid::Uuid;

use super::{
    connection::Connection,
    end::End,
    next::{Next, Piece},
    overflow::{Action, Lag},
};
use crate::{
    config::Overflow,
    event::{self, Cursor, block},
    hub::topic::{LAST_CHUNK, LiveTopic, Missed, Position, Pulled, Run, SnapshotFrame, chunk},
};

/// Time that a stream has to send its end.
const END_WITHIN: Duration = Duration::from_secs(5);

/// The state of a read of the log, for a subscription that is behind the ring.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Log {
    /// Nothing was requested.
    Idle,
    /// A task reads it.
    Reading,
    /// It has only what the ring has: wait until the ring moves.
    Exhausted,
}

/// One open stream, without its socket. Dropping it releases what it holds.
pub struct Subscription {
    pub(super) topic: Arc<LiveTopic>,
    /// None once it was released.
    pub(super) connection: Option<Arc<Connection>>,
    /// Everything up to here was written, or is ready.
    pub(super) position: Position,
    /// Events that were sent.
    pub(super) delivered: u64,
    /// Events to send at most, if the client has set a number.
    most: Option<NonZeroU64>,
    /// Sent before anything else: chunks, or the rest of one.
    pub(super) ready: Bytes,
    /// Frames from the log that follow the position.
    fetched: Option<Box<Run>>,
    pub(super) end: Option<End>,
    /// Time until which the client wanted the stream. Once there is an end: time until which it can
    /// be sent.
    pub(super) until: Option<Instant>,
    /// The reactor's tick of the last write.
    pub(super) written: u32,
    log: Log,
    lag: Lag,
    pub(super) overflow: Overflow,
    /// The metrics count it as open.
    is_counted: bool,
    /// The end is ready or sent.
    has_said_end: bool,
}

impl Subscription {
    /// A subscription that has joined its topic. It ends after so many events, and at this time.
    pub fn new(
        topic: Arc<LiveTopic>,
        connection: Arc<Connection>,
        (most, until): (Option<NonZeroU64>, Option<Instant>),
        overflow: Overflow,
    ) -> Self {
        Self {
            topic,
            connection: Some(connection),
            position: Position { history: 0, seq: 0 },
            delivered: 0,
            most,
            ready: Bytes::new(),
            fetched: None,
            end: None,
            until,
            written: 0,
            log: Log::Idle,
            lag: Lag::NONE,
            overflow,
            is_counted: false,
            has_said_end: false,
        }
    }

    /// Its topic.
    pub fn topic(&self) -> &Arc<LiveTopic> {
        &self.topic
    }

    /// Everything up to here was written, or is ready.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Resumes after this position.
    pub fn resume(&mut self, position: Position) {
        self.position = position;
    }

    /// Counts it as open.
    pub fn count(&mut self) {
        self.topic.context().telemetry.stream_opened(self.topic.family());
        self.is_counted = true;
    }

    /// Puts bytes before everything else.
    pub fn lead(&mut self, head: &[u8]) {
        self.ready = [head, &self.ready].concat().into();
    }

    /// Sends the present state and resumes after it.
    pub fn start_over(&mut self, snapshot: &SnapshotFrame) {
        self.position = snapshot.position;
        self.log = Log::Idle;
        self.lag = Lag::SOME;
        self.queue(&snapshot.bytes);
        self.delivered += 1;
        self.topic.delivered.inc();
        if snapshot.terminal {
            self.end_with(End::Completed);
        }
    }

    /// The log is read from now on: where, and how many events at most.
    pub fn begin_catch_up(&mut self) -> (Position, u64) {
        self.log = Log::Reading;
        let left = self.left();
        (self.position, self.lag.left().map_or(left, |waiting| left.min(waiting.into())))
    }

    /// The log was read.
    pub fn end_catch_up(&mut self, missed: Result<Missed, DbErr>) {
        if self.is_ending() {
            return;
        }
        match missed {
            Ok(Missed::Events(run)) => {
                self.log = if run.is_none() { Log::Exhausted } else { Log::Idle };
                self.fetched = run.map(Box::new);
            }
            Ok(Missed::StartOver(snapshot)) => self.start_over(&snapshot),
            Err(error) => {
                let (topic, id) = (self.topic.name(), self.request());
                tracing::error!(%topic, %id, %error, "a stream has failed");
                self.end_with(End::Failed);
            }
        }
    }

    /// Whether it wants every frame of this history of the ring, and nothing else.
    pub fn wants_all(&self, history: u32) -> bool {
        self.position.history == history
            && self.ready.is_empty()
            && self.end.is_none()
            && self.most.is_none()
            && self.fetched.is_none()
            && self.log == Log::Idle
    }

    /// Direct mode has written up to here.
    pub fn sync_back(&mut self, seq: i64, tick: u32) {
        self.delivered += u64::try_from(seq - self.position.seq).unwrap_or_default();
        self.position.seq = seq;
        self.written = tick;
    }

    /// The topic has moved.
    pub fn moved(&mut self) {
        if self.log == Log::Exhausted {
            self.log = Log::Idle;
        }
    }

    /// The next thing to do.
    pub fn next(&mut self) -> Next {
        loop {
            if !self.ready.is_empty() {
                return Next::Write(Piece::Ready(self.ready.clone()));
            }
            // The reasons to end come before the next event, or a stream of a busy topic would
            // outlive its login session.
            match self.end {
                Some(_) if self.has_said_end => return Next::Done,
                Some(end) => {
                    self.say_end(end);
                    continue;
                }
                None if self.left() == 0 => {
                    self.end_with(End::MaxEvents);
                    continue;
                }
                None => {}
            }
            if let Some(run) = &self.fetched {
                return Next::Write(Piece::Frames((**run).clone()));
            }
            if self.log == Log::Reading {
                return Next::Wait;
            }
            return match self.topic.pull(self.position, self.left()) {
                Pulled::Run(run) => {
                    self.lag = Lag::SOME;
                    Next::Write(Piece::Frames(run))
                }
                Pulled::Over => {
                    self.end_with(End::Completed);
                    continue;
                }
                Pulled::Nothing => {
                    self.lag = Lag::NONE;
                    Next::Wait
                }
                Pulled::Ahead => Next::Wait,
                Pulled::Behind if self.log == Log::Exhausted => Next::Wait,
                Pulled::Behind if self.handle_overflow() => continue,
                Pulled::Behind | Pulled::Lost => Next::CatchUp,
            };
        }
    }

    /// The first `written` bytes of a piece are on their way. A frame that was begun has to be
    /// finished. The others are dropped: the position is enough to find them again.
    pub fn wrote(&mut self, piece: Piece, written: usize, tick: u32) {
        self.written = tick;
        let run = match piece {
            Piece::Ready(_) => return self.ready.advance(written),
            Piece::Frames(run) => run,
        };
        if written < run.bytes.len() {
            self.blocked();
        }
        self.fetched = None;
        let (count, end) = run.begun(written);
        // A copy, or a client that does not read would keep the whole piece in memory.
        self.ready = Bytes::copy_from_slice(&run.bytes[written..end]);
        self.position.seq = self.position.seq.saturating_add_unsigned(count);
        self.delivered += count;
        self.lag = self.lag.after(count);
        self.topic.delivered.inc_by(count);
        if count == run.count && run.terminal {
            self.end_with(End::Completed);
        }
    }

    /// The socket did not take all of a piece.
    pub fn blocked(&mut self) {
        // Ready bytes and events from the log say nothing about the present.
        if self.ready.is_empty() && self.fetched.is_none() && self.lag == Lag::NONE {
            self.lag = Lag::SOME;
        }
    }

    /// Ends it, once the ready bytes are written.
    pub fn end_with(&mut self, end: End) {
        if self.end.is_none() {
            self.end = Some(end);
            self.until = Some(Instant::now() + END_WITHIN);
        }
    }

    /// The reason why it ends, and whether everything before the end was taken.
    pub fn end(&self) -> Option<(End, bool)> {
        self.end.map(|end| (end, self.has_said_end))
    }

    /// Whether only its end is left to send.
    pub fn is_ending(&self) -> bool {
        self.end.is_some()
    }

    /// Gives back what it holds.
    pub fn release(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        connection.release(self.delivered);
        self.topic.release();
        if self.is_counted {
            let end = self.end.unwrap_or(End::ClientGone);
            self.topic.context().telemetry.stream_closed(self.topic.family(), end.reason());
        }
    }

    /// The ring has passed the position. Whether that needs no read of the log.
    fn handle_overflow(&mut self) -> bool {
        let Some(passed) = self.passed() else { return false };
        let capacity = self.topic.context().settings.buffer_events;
        match self.lag.overflow(self.overflow, passed, capacity) {
            Action::ReadLog => return false,
            Action::Close => self.end_with(End::Overflow),
            Action::SkipTo(cursor) => self.skip_to(cursor),
        }
        true
    }

    /// Two events after which it can resume, if it is too slow; see [`LiveTopic::passed`].
    pub(super) fn passed(&self) -> Option<(Cursor, Cursor)> {
        if self.lag == Lag::NONE { None } else { self.topic.passed(self.position) }
    }

    /// Resumes after this event. The announcement has its cursor, so dropped events stay dropped
    /// for a client that reconnects.
    fn skip_to(&mut self, to: Cursor) {
        let count = to.seq - self.position.seq;
        let data = event::json(&json!({ "count": count }));
        self.queue(&chunk(&block(Some(to), "stream.dropped", &data)));
        self.topic.context().telemetry.dropped(self.topic.family(), count.unsigned_abs());
        self.position.seq = to.seq;
        self.lag = Lag::SOME;
    }

    /// Makes the text of the end ready.
    fn say_end(&mut self, end: End) {
        self.has_said_end = true;
        let end = if self.left() == 0 { End::MaxEvents } else { end };
        let failure = || {
            let subject = self.topic.subject();
            subject.map(|subject| (subject.failure)(self.request())).unwrap_or_default()
        };
        let text = end.text(self.topic.context().settings.retry, failure);
        if !text.is_empty() {
            self.queue(&chunk(&text));
        }
        self.queue(&Bytes::from_static(LAST_CHUNK));
    }

    pub(super) fn queue(&mut self, chunks: &Bytes) {
        self.ready = if self.ready.is_empty() {
            chunks.clone()
        } else {
            [&self.ready[..], chunks].concat().into()
        };
    }

    /// Events that it may still send.
    fn left(&self) -> u64 {
        self.most.map_or(u64::MAX, |most| most.get().saturating_sub(self.delivered))
    }

    /// Id of the request that opened it, while it is open.
    fn request(&self) -> Uuid {
        self.connection.as_ref().map(|connection| connection.id()).unwrap_or_default()
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.release();
    }
}
