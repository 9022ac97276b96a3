//! The state machine of one open stream: its next step, and the reason for its end.

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
enum LogRead {
    /// No read was requested.
    Idle,
    /// A task reads the log.
    Reading,
    /// The log has no later events. The subscription waits until the topic moves.
    Exhausted,
}

/// One open stream, without its socket. Dropping this value releases what the stream holds.
pub struct Subscription {
    pub(super) topic: Arc<LiveTopic>,
    /// `None` after the stream has released its connection.
    pub(super) connection: Option<Arc<Connection>>,
    /// All events up to this position were written, or are in `ready`.
    pub(super) position: Position,
    /// Number of events that were sent, including snapshots.
    pub(super) delivered: u64,
    /// Maximum number of events to send. `None` without a limit.
    max_events: Option<NonZeroU64>,
    /// Bytes to send before anything else: chunks, or the rest of one chunk.
    pub(super) ready: Bytes,
    /// Frames from the log that follow the position.
    frames_from_log: Option<Box<Run>>,
    pub(super) end: Option<End>,
    /// Time at which the stream ends, if the client set a maximum time. Once `end` is set, time until which the end can
    /// be sent.
    pub(super) until: Option<Instant>,
    /// The reactor's tick at the last write.
    pub(super) last_write_tick: u32,
    log: LogRead,
    lag: Lag,
    pub(super) overflow: Overflow,
    /// Whether the metrics count the stream as open.
    is_counted: bool,
    /// Whether the end is in `ready`, or was sent.
    has_queued_end: bool,
}

impl Subscription {
    /// Creates a subscription that has joined its topic. The stream ends after `max_events` events, and at `until`.
    pub fn new(
        topic: Arc<LiveTopic>,
        connection: Arc<Connection>,
        (max_events, until): (Option<NonZeroU64>, Option<Instant>),
        overflow: Overflow,
    ) -> Self {
        Self {
            topic,
            connection: Some(connection),
            position: Position { history: 0, seq: 0 },
            delivered: 0,
            max_events,
            ready: Bytes::new(),
            frames_from_log: None,
            end: None,
            until,
            last_write_tick: 0,
            log: LogRead::Idle,
            lag: Lag::NONE,
            overflow,
            is_counted: false,
            has_queued_end: false,
        }
    }

    /// The topic of the stream.
    pub fn topic(&self) -> &Arc<LiveTopic> {
        &self.topic
    }

    /// All events up to this position were written, or are ready to be written.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Resumes after this position.
    pub fn resume(&mut self, position: Position) {
        self.position = position;
    }

    /// Counts the stream as open in the metrics.
    pub fn count_as_open(&mut self) {
        self.topic.context().telemetry.stream_opened(self.topic.family());
        self.is_counted = true;
    }

    /// Adds bytes that are sent before everything else.
    pub fn prepend(&mut self, head: &[u8]) {
        self.ready = [head, &self.ready].concat().into();
    }

    /// Sends a snapshot, and resumes after it.
    pub fn start_over(&mut self, snapshot: &SnapshotFrame) {
        self.position = snapshot.position;
        self.log = LogRead::Idle;
        self.lag = Lag::SOME;
        self.queue(&snapshot.bytes);
        self.delivered += 1;
        self.topic.delivered.inc();
        if snapshot.terminal {
            self.end_with(End::Completed);
        }
    }

    /// Starts a read of the log. Returns the position to read from, and the maximum number of events.
    pub fn begin_catch_up(&mut self) -> (Position, u64) {
        self.log = LogRead::Reading;
        let left = self.remaining();
        (
            self.position,
            self.lag.events_before_drop().map_or(left, |waiting| left.min(waiting.into())),
        )
    }

    /// Applies the result of a read of the log.
    pub fn end_catch_up(&mut self, missed: Result<Missed, DbErr>) {
        if self.is_ending() {
            return;
        }
        match missed {
            Ok(Missed::Events(run)) => {
                self.log = if run.is_none() { LogRead::Exhausted } else { LogRead::Idle };
                self.frames_from_log = run.map(Box::new);
            }
            Ok(Missed::StartOver(snapshot)) => self.start_over(&snapshot),
            Err(error) => {
                let (topic, id) = (self.topic.name(), self.request());
                tracing::error!(parent: None, %topic, request_id = %id, %error, "cannot read the missed events of a stream");
                self.end_with(End::Failed);
            }
        }
    }

    /// Whether the stream needs every frame of this history of the ring, and nothing else.
    pub fn wants_all(&self, history: u32) -> bool {
        self.position.history == history
            && self.ready.is_empty()
            && self.end.is_none()
            && self.max_events.is_none()
            && self.frames_from_log.is_none()
            && self.log == LogRead::Idle
    }

    /// Applies the progress of direct mode, which has written all events up to `seq`.
    pub fn sync_back(&mut self, seq: i64, tick: u32) {
        self.delivered += u64::try_from(seq - self.position.seq).unwrap_or_default();
        self.position.seq = seq;
        self.last_write_tick = tick;
    }

    /// Reports that the topic has moved.
    pub fn topic_changed(&mut self) {
        if self.log == LogRead::Exhausted {
            self.log = LogRead::Idle;
        }
    }

    /// The next step.
    pub fn next(&mut self) -> Next {
        loop {
            if !self.ready.is_empty() {
                return Next::Write(Piece::Ready(self.ready.clone()));
            }
            // The end comes before the next event. Otherwise a stream of a busy topic would outlive its login session.
            match self.end {
                Some(_) if self.has_queued_end => return Next::Done,
                Some(end) => {
                    self.queue_end(end);
                    continue;
                }
                None if self.remaining() == 0 => {
                    self.end_with(End::MaxEvents);
                    continue;
                }
                None => {}
            }
            if let Some(run) = &self.frames_from_log {
                return Next::Write(Piece::Frames((**run).clone()));
            }
            if self.log == LogRead::Reading {
                return Next::Wait;
            }
            return match self.topic.pull(self.position, self.remaining()) {
                Pulled::Run(run) => {
                    self.lag = Lag::SOME;
                    Next::Write(Piece::Frames(run))
                }
                Pulled::TopicEnded => {
                    self.end_with(End::Completed);
                    continue;
                }
                Pulled::Nothing => {
                    self.lag = Lag::NONE;
                    Next::Wait
                }
                Pulled::Ahead => Next::Wait,
                Pulled::Behind if self.log == LogRead::Exhausted => Next::Wait,
                Pulled::Behind if self.handle_overflow() => continue,
                Pulled::Behind | Pulled::HistoryReplaced => Next::CatchUp,
            };
        }
    }

    /// Reports that the first `written` bytes of a piece were written. The rest of a frame that was begun stays ready.
    /// The frames after it are dropped, because the position is enough to find them again.
    pub fn wrote(&mut self, piece: Piece, written: usize, tick: u32) {
        self.last_write_tick = tick;
        let run = match piece {
            Piece::Ready(_) => return self.ready.advance(written),
            Piece::Frames(run) => run,
        };
        if written < run.bytes.len() {
            self.blocked();
        }
        self.frames_from_log = None;
        let (count, end) = run.frames_started(written);
        // Copied, because otherwise a client that does not read would keep the whole piece in memory.
        self.ready = Bytes::copy_from_slice(&run.bytes[written..end]);
        self.position.seq = self.position.seq.saturating_add_unsigned(count);
        self.delivered += count;
        self.lag = self.lag.after(count);
        self.topic.delivered.inc_by(count);
        if count == run.count && run.terminal {
            self.end_with(End::Completed);
        }
    }

    /// Reports that the socket did not accept all bytes of a piece.
    pub fn blocked(&mut self) {
        // Only frames from the ring show that the client is slow now. Ready bytes and events from the log can be old.
        if self.ready.is_empty() && self.frames_from_log.is_none() && self.lag == Lag::NONE {
            self.lag = Lag::SOME;
        }
    }

    /// Ends the stream for this reason, after the ready bytes are written. If the stream is already ending, this has no
    /// effect.
    pub fn end_with(&mut self, end: End) {
        if self.end.is_none() {
            if let (End::Replaced, Some(connection)) = (end, &self.connection) {
                connection.free_slot();
            }
            self.end = Some(end);
            self.until = Some(Instant::now() + END_WITHIN);
        }
    }

    /// The reason for the end, and whether everything before the end was taken. `None` while the stream continues.
    pub fn end(&self) -> Option<(End, bool)> {
        self.end.map(|end| (end, self.has_queued_end))
    }

    /// Whether the stream sends no further events.
    pub fn is_ending(&self) -> bool {
        self.end.is_some()
    }

    /// Releases the connection and the topic. Later calls have no effect.
    pub fn release(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        let lag = self.behind();
        connection.release(self.delivered);
        self.topic.release();
        if self.is_counted {
            let end = self.end.unwrap_or(End::ClientGone);
            connection.stream_ended(end, lag);
            self.topic.context().telemetry.stream_closed(self.topic.family(), end.reason());
        }
    }

    /// Applies the overflow strategy, if the ring has dropped the next event. Returns false if the log has to be read.
    fn handle_overflow(&mut self) -> bool {
        let Some(passed) = self.skip_targets() else { return false };
        let capacity = self.topic.context().settings.buffer_events;
        match self.lag.choose_action(self.overflow, passed, capacity) {
            Action::ReadLog => return false,
            Action::Close => self.end_with(End::Overflow),
            Action::SkipTo(cursor) => self.skip_to(cursor),
        }
        true
    }

    /// Two events after which the stream can resume, if its client is too slow; see [`LiveTopic::skip_targets`].
    pub(super) fn skip_targets(&self) -> Option<(Cursor, Cursor)> {
        if self.lag == Lag::NONE { None } else { self.topic.skip_targets(self.position) }
    }

    /// Resumes after this event. `stream.dropped` has the cursor of this event, so a client that reconnects does not
    /// get the dropped events.
    fn skip_to(&mut self, to: Cursor) {
        let count = to.seq - self.position.seq;
        let data = event::json(&json!({ "count": count }));
        self.queue(&chunk(&block(Some(to), "stream.dropped", &data)));
        self.topic.context().telemetry.dropped(self.topic.family(), count.unsigned_abs());
        self.position.seq = to.seq;
        self.lag = Lag::SOME;
    }

    /// Queues the text of the end.
    fn queue_end(&mut self, end: End) {
        self.has_queued_end = true;
        let end = if self.remaining() == 0 { End::MaxEvents } else { end };
        let failure = || {
            let properties = self.topic.properties();
            properties.map(|properties| (properties.failure)(self.request())).unwrap_or_default()
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

    /// Number of events that the stream may still send. `u64::MAX` without a limit.
    fn remaining(&self) -> u64 {
        self.max_events
            .map_or(u64::MAX, |max_events| max_events.get().saturating_sub(self.delivered))
    }

    /// Id of the request that opened the stream. Nil after the stream was released.
    fn request(&self) -> Uuid {
        self.connection.as_ref().map(|connection| connection.id()).unwrap_or_default()
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.release();
    }
}
