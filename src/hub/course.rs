//! The course of one open stream, whatever it leaves by: what it sends next and why it ends.

mod overflow;

use std::{
    num::NonZeroU64,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Buf, Bytes};
use sea_orm::DbErr;
use uuid::Uuid;

use self::overflow::Lag;
use super::{
    Hub,
    clock::{Now, QUIET},
    connection::Connection,
    end::End,
    frame::{LAST_CHUNK, Run, chunk},
    live::Live,
    open::Shown,
    ring::{Place, Pulled},
};
use crate::config::Overflow;

/// How long a stream that has to end may take to say so.
const FAREWELL: Duration = Duration::from_secs(5);

/// A comment, as a chunk.
const HEARTBEAT: &[u8] = b"3\r\n:\n\n\r\n";

/// What comes next.
pub(super) enum Next {
    /// These bytes; to be told of with [`Course::wrote`].
    Write(Piece),
    /// Nothing before the topic moves.
    Wait,
    /// What is in the log.
    Fetch,
    /// Nothing at all.
    Done,
}

/// Bytes to write: what has to go out first, or frames.
pub(super) enum Piece {
    Ready(Bytes),
    Frames(Run),
}

impl Piece {
    pub(super) fn bytes(&self) -> &Bytes {
        match self {
            Self::Ready(bytes) => bytes,
            Self::Frames(run) => &run.bytes,
        }
    }
}

/// What a stream that is behind the ring has of the log.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Log {
    Unasked,
    /// Somebody reads it.
    Asked,
    /// It has no more than the ring: wait until that moves.
    Exhausted,
}

/// See above. Dropping it gives back what it holds.
pub(super) struct Course {
    pub(super) hub: Arc<Hub>,
    pub(super) live: Arc<Live>,
    /// Until it has ended.
    pub(super) held: Option<Arc<Connection>>,
    /// Up to here everything has been written, or is ready.
    pub(super) place: Place,
    /// Events that were sent.
    pub(super) delivered: u64,
    /// Events that may be sent, if the client wants only so many.
    most: Option<NonZeroU64>,
    /// What goes out before anything else: chunks, the rest of one.
    ready: Bytes,
    /// Frames from the log that follow the place.
    fetched: Option<Box<Run>>,
    end: Option<End>,
    /// Until when the client wanted the stream; once there is an end, until when it may be said.
    until: Option<Instant>,
    /// The reactor's tick of the last write.
    written: u32,
    log: Log,
    lag: Lag,
    overflow: Overflow,
    /// It is in the metrics as an open stream.
    counted: bool,
    /// The end has been said.
    said: bool,
}

impl Course {
    pub(super) fn new(
        hub: &Arc<Hub>,
        live: Arc<Live>,
        held: Arc<Connection>,
        (most, until): (Option<NonZeroU64>, Option<Instant>),
        overflow: Overflow,
    ) -> Self {
        Self {
            hub: Arc::clone(hub),
            live,
            held: Some(held),
            place: Place { history: 0, seq: 0 },
            delivered: 0,
            most,
            ready: Bytes::new(),
            fetched: None,
            end: None,
            until,
            written: 0,
            log: Log::Unasked,
            lag: Lag::NONE,
            overflow,
            counted: false,
            said: false,
        }
    }

    /// Counts it as open.
    pub(super) fn begin(&mut self) {
        self.hub.telemetry.stream_opened(self.family());
        self.counted = true;
    }

    /// Puts bytes before everything else.
    pub(super) fn lead(&mut self, head: &[u8]) {
        self.ready = [head, &self.ready].concat().into();
    }

    /// Sends the present state and goes on from there.
    pub(super) fn show(&mut self, shown: &Shown) {
        self.place = shown.place;
        self.log = Log::Unasked;
        self.lag = Lag::SOME;
        self.queue(&shown.chunk);
        self.delivered += 1;
        self.live.delivered.inc();
        if shown.terminal {
            self.close(End::Completed);
        }
    }

    /// Goes on with frames from the log; without any when the log has no more than the ring.
    pub(super) fn go_on(&mut self, run: Option<Run>) {
        self.log = if run.is_none() { Log::Exhausted } else { Log::Unasked };
        self.fetched = run.map(Box::new);
    }

    /// Whether it wants every frame of this history of the ring as it comes, and nothing else.
    pub(super) fn wants_all(&self, history: u32) -> bool {
        self.place.history == history
            && self.ready.is_empty()
            && self.end.is_none()
            && self.most.is_none()
            && self.fetched.is_none()
            && self.log == Log::Unasked
    }

    /// It has been written to up to here by somebody else.
    pub(super) fn settle(&mut self, seq: i64, tick: u32) {
        self.delivered += u64::try_from(seq - self.place.seq).unwrap_or_default();
        self.place.seq = seq;
        self.written = tick;
    }

    /// The log is being read for it.
    pub(super) fn has_asked(&mut self) {
        self.log = Log::Asked;
    }

    /// The topic has moved.
    pub(super) fn moved(&mut self) {
        if self.log == Log::Exhausted {
            self.log = Log::Unasked;
        }
    }

    /// What to do now.
    pub(super) fn next(&mut self) -> Next {
        loop {
            if !self.ready.is_empty() {
                return Next::Write(Piece::Ready(self.ready.clone()));
            }
            // What ends a stream goes before what feeds it, or a busy topic would outlive its
            // subscriber's session.
            match self.end {
                Some(_) if self.said => return Next::Done,
                Some(end) => {
                    self.say(end);
                    continue;
                }
                None if self.left() == 0 => {
                    self.close(End::MaxEvents);
                    continue;
                }
                None => {}
            }
            if let Some(run) = &self.fetched {
                return Next::Write(Piece::Frames((**run).clone()));
            }
            if self.log == Log::Asked {
                return Next::Wait;
            }
            return match self.live.pull(self.place, self.left()) {
                Pulled::Run(run) => {
                    self.lag = Lag::SOME;
                    Next::Write(Piece::Frames(run))
                }
                Pulled::Over => {
                    self.close(End::Completed);
                    continue;
                }
                Pulled::Nothing => {
                    self.lag = Lag::NONE;
                    Next::Wait
                }
                Pulled::Ahead => Next::Wait,
                Pulled::Behind if self.log == Log::Exhausted => Next::Wait,
                Pulled::Behind if self.give_way() => continue,
                Pulled::Behind | Pulled::Lost => Next::Fetch,
            };
        }
    }

    /// Takes note that the first `written` bytes of a piece are on their way. What was begun has to
    /// be ended; what was not is let go, for the place is enough to find it again.
    pub(super) fn wrote(&mut self, piece: Piece, written: usize, tick: u32) {
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
        self.place.seq = self.place.seq.saturating_add_unsigned(count);
        self.delivered += count;
        self.lag = self.lag.after(count);
        self.live.delivered.inc_by(count);
        if count == run.count && run.terminal {
            self.close(End::Completed);
        }
    }

    /// Ends it, once what is ready is written.
    pub(super) fn close(&mut self, end: End) {
        if self.end.is_none() {
            self.end = Some(end);
            self.until = Some(Instant::now() + FAREWELL);
        }
    }

    /// Ends it because the log cannot be read.
    pub(super) fn fail(&mut self, error: &DbErr) {
        tracing::error!(topic = %self.live.topic(), id = %self.request(), %error, "a stream broke");
        self.close(End::Failed);
    }

    /// Says why the stream ends.
    fn say(&mut self, end: End) {
        self.said = true;
        let end = if self.left() == 0 { End::MaxEvents } else { end };
        let failure = || {
            let subject = self.live.subject.get();
            subject.map(|subject| (subject.failure)(self.request())).unwrap_or_default()
        };
        let text = end.farewell(self.hub.settings.retry, failure);
        if !text.is_empty() {
            self.queue(&chunk(&text));
        }
        self.queue(&Bytes::from_static(LAST_CHUNK));
    }

    /// Looks at what ends a stream from outside, and whether it was silent for too long; it is stuck
    /// when the client does not take what there is. Returns whether it may stay at all, or its time
    /// to say goodbye is over.
    pub(super) fn look(&mut self, now: &Now, is_stuck: bool) -> bool {
        if self.end.is_none() {
            let over = self.held.as_ref().and_then(|held| held.standing(now.timestamp).err());
            if let Some(ended) = over {
                self.close(End::Session(ended));
            } else if self.hub.is_closing() {
                self.close(End::Shutdown);
            } else if self.until.is_some_and(|until| until <= now.instant) {
                self.close(End::MaxSeconds);
            } else if is_stuck && self.is_cut_off() {
                self.close(End::Overflow);
            } else if now.tick.wrapping_sub(self.written) >= QUIET && self.ready.is_empty() {
                self.queue(&Bytes::from_static(HEARTBEAT));
            }
        }
        self.end.is_none() || self.until.is_none_or(|until| until > now.instant)
    }

    /// When it has to be looked at again at the latest, if not sooner for another reason.
    pub(super) fn look_by(&self, now: &Now) -> Option<Instant> {
        let expiry = || {
            let expiry = self.held.as_ref()?.standing(now.timestamp).ok()?;
            now.instant.checked_add(expiry.since(now.timestamp))
        };
        let expiry = if self.end.is_none() { expiry() } else { None };
        [expiry, self.until].into_iter().flatten().min()
    }

    /// Why it ends, and whether everything before that was taken.
    pub(super) fn end(&self) -> Option<(End, bool)> {
        self.end.map(|end| (end, self.said))
    }

    /// Whether there is nothing left to do but to say goodbye.
    pub(super) fn is_ending(&self) -> bool {
        self.end.is_some()
    }

    fn queue(&mut self, chunks: &Bytes) {
        self.ready = if self.ready.is_empty() {
            chunks.clone()
        } else {
            [&self.ready[..], chunks].concat().into()
        };
    }

    /// Events that may still be sent.
    fn left(&self) -> u64 {
        self.most.map_or(u64::MAX, |most| most.get().saturating_sub(self.delivered))
    }

    /// The request that opened it, while it is open.
    fn request(&self) -> Uuid {
        self.held.as_ref().map(|held| held.id).unwrap_or_default()
    }

    fn family(&self) -> &'static str {
        self.live.topic().family().name()
    }

    /// Gives back what it holds.
    pub(super) fn release(&mut self) {
        let Some(held) = self.held.take() else { return };
        held.depart(self.delivered);
        self.hub.leave(self.live.topic());
        if self.counted {
            let end = self.end.unwrap_or(End::ClientGone);
            self.hub.telemetry.stream_closed(self.family(), end.reason());
        }
    }
}

impl Drop for Course {
    fn drop(&mut self) {
        self.release();
    }
}
