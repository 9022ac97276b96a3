//! The newest frames of a topic, in order and without gaps.
//!
//! All frames belong to one history: each frame contains the nonce of the event before it. The log can differ from the
//! ring after a restore from a backup, or after a failover to a copy without the newest events. Then the ring begins a
//! new history, and every subscription in the old history has to start over.

use std::collections::{BTreeMap, VecDeque};

use super::frame::{Frame, Run};
use crate::{event::Cursor, event_log::StaleCursor};

/// Maximum size of the frames of one topic, in bytes. The configuration limits their number.
const RING_BYTES: usize = 8 << 20;

/// Maximum size of one write, in bytes. Without this limit, a subscriber that is far behind would copy the whole ring.
const WRITE_BYTES: usize = 64 << 10;

/// The progress of a subscription. The event `seq` is known to be in the history, so the subscription does not store
/// its nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Number of the ring's history, from 1. 0 means no history.
    pub history: u32,
    /// Number of the newest event that the subscription has.
    pub seq: i64,
}

/// The events that are known to be in the ring's history. All of them were in the log. If a later read of the log does
/// not find them, the history was replaced.
#[derive(Clone, Copy, Debug)]
pub struct KnownEvents {
    /// Number of the history.
    pub history: u32,
    /// Cursor of the newest frame, or of the event at which the history began.
    pub head: Cursor,
    /// Cursor of the newest known event of the history: the head or a later event.
    pub newest_known: Cursor,
}

/// The result of a request for the frames after a position.
pub enum Pulled {
    /// The frames after the position.
    Run(Run),
    /// No event follows yet.
    Nothing,
    /// No event can follow: the position is that of the last event.
    TopicEnded,
    /// The position is newer than the ring's head.
    Ahead,
    /// The position is older than the ring. Only the log has the next event.
    Behind,
    /// The history was replaced: the subscription has to start over.
    HistoryReplaced,
}

/// The newest frames of a topic.
#[derive(Default)]
pub struct Ring {
    /// `None` before the log was read.
    known: Option<KnownEvents>,
    /// The reason why the history before this one ended.
    stale_reason: Option<StaleCursor>,
    /// Number of the head at the start of the history. The ring never held that event or earlier events.
    start_seq: i64,
    /// The nonce of the event before the first frame.
    prior_nonce: i32,
    /// The frames up to the head, without gaps.
    frames: VecDeque<Frame>,
    bytes: usize,
    /// Whether the head is the last event of the topic.
    is_over: bool,
    /// Whether a frame did not belong to this history, so that the log has to be read.
    has_foreign_frame: bool,
    /// Frames that arrived before an earlier frame, with their epochs. The events of two commits can arrive in either
    /// order.
    out_of_order: BTreeMap<i64, (i64, Frame)>,
    out_of_order_bytes: usize,
    capacity: usize,
    /// The frames after a position, in one piece. Stored because most subscribers are at the same position.
    cached_run: Option<(i64, Run)>,
}

impl Ring {
    /// Creates a ring for `capacity` frames, before the log was read.
    pub fn new(capacity: usize) -> Self {
        Self { capacity, ..Self::default() }
    }

    /// The events that are known to be in the ring's history. `None` before the log was read.
    pub fn known(&self) -> Option<KnownEvents> {
        self.known
    }

    /// The position of a subscription that has all events. `None` before the log was read.
    pub fn head(&self) -> Option<Position> {
        self.known.map(|KnownEvents { history, head, .. }| Position { history, seq: head.seq })
    }

    /// Whether the head is the last event of the topic.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// The reason why the history before this one ended.
    pub fn stale_reason(&self) -> StaleCursor {
        self.stale_reason.unwrap_or(StaleCursor::UnknownCursor)
    }

    /// The position of a cursor, if the ring alone shows that the cursor is in this history.
    pub fn find(&self, cursor: Cursor) -> Option<Position> {
        let KnownEvents { history, head, newest_known } = self.known?;
        let is_ours = cursor.epoch == head.epoch && self.nonce(cursor.seq) == Some(cursor.nonce);
        (is_ours || cursor == newest_known).then_some(Position { history, seq: cursor.seq })
    }

    /// The position of a cursor that was found in the log together with the known events of this history. `None` if the
    /// history has changed since then.
    pub fn accept_cursor(&mut self, history: u32, cursor: Cursor) -> Option<Position> {
        let nonce = self.nonce(cursor.seq);
        let known = self.known.as_mut().filter(|known| known.history == history)?;
        if nonce.is_some_and(|nonce| nonce != cursor.nonce) {
            return None;
        }
        if cursor.seq > known.newest_known.seq {
            known.newest_known = cursor;
        }
        Some(Position { history, seq: cursor.seq })
    }

    /// Whether the ring can have all events of a log whose newest event is `head`, and no others. `known` is the state
    /// of the ring before the log was read. Also true if the ring has begun another history since then.
    pub fn matches_log(&self, known: Option<KnownEvents>, head: Cursor) -> bool {
        let (Some(before), Some(now)) = (known, self.known) else { return false };
        if before.history != now.history {
            return true;
        }
        let nonce = self.nonce(head.seq);
        head.epoch == now.head.epoch
            && head.seq >= before.newest_known.seq
            && head.seq <= now.head.seq
            && nonce.is_none_or(|nonce| nonce == head.nonce)
    }

    /// The nonce of an event in the ring, or of the event right before the first frame.
    fn nonce(&self, seq: i64) -> Option<i32> {
        let back = usize::try_from(self.known?.head.seq.checked_sub(seq)?).ok()?;
        match self.frames.len().checked_sub(back)? {
            0 => Some(self.prior_nonce),
            count => self.frames.get(count - 1).map(|frame| frame.nonce),
        }
    }

    /// Two events after which a subscription can resume, if the ring has dropped events that follow the position.
    /// `None` if the ring still has them, or never had them.
    ///
    /// The first is the newest event that the ring has dropped. The second is the newest event of the ring, or the
    /// event before it if no event can follow. Every subscription must get the last event.
    pub fn skip_targets(&self, position: Position) -> Option<(Cursor, Cursor)> {
        let KnownEvents { head, .. } =
            self.known.filter(|known| known.history == position.history)?;
        let kept = i64::try_from(self.frames.len()).unwrap_or(i64::MAX);
        let (oldest, newest) = (head.seq - kept, head.seq - i64::from(self.is_over));
        let cursor = |seq| Some(Cursor { seq, nonce: self.nonce(seq)?, ..head });
        if !(self.start_seq..oldest).contains(&position.seq) {
            return None;
        }
        Some((cursor(oldest)?, cursor(newest)?))
    }

    /// Whether a frame is missing, or did not belong to this history. The call resets the second condition.
    pub fn has_gap(&mut self) -> bool {
        let has_foreign_frame = std::mem::take(&mut self.has_foreign_frame);
        self.known.is_some() && (has_foreign_frame || !self.out_of_order.is_empty())
    }

    /// Whether the ring will soon drop events after `seq`.
    pub fn drops_soon_after(&self, seq: i64) -> bool {
        let full = self.frames.len() >= self.capacity || 2 * self.bytes > RING_BYTES;
        full && self.frames.get(self.frames.len() / 2).is_some_and(|middle| seq < middle.seq)
    }

    /// Ends the history with the number `old`, for the reason `lost`, and begins another one at `head`. Returns false
    /// if another caller has already done so.
    pub fn begin(&mut self, old: u32, head: Cursor, is_over: bool, lost: StaleCursor) -> bool {
        if self.known.map_or(0, |known| known.history) != old {
            return false;
        }
        self.known = Some(KnownEvents { history: old + 1, head, newest_known: head });
        self.stale_reason = Some(lost);
        self.start_seq = head.seq;
        self.prior_nonce = head.nonce;
        self.is_over = is_over;
        self.frames.clear();
        self.bytes = 0;
        self.cached_run = None;
        if old != 0 {
            // Early frames may belong to the old history. The log has those that belong to the new history.
            self.has_foreign_frame |= !self.out_of_order.is_empty();
            self.out_of_order.clear();
            self.out_of_order_bytes = 0;
        }
        self.take_out_of_order();
        true
    }

    /// Takes a frame, which can be the next one, an early one or a known one.
    pub fn push(&mut self, epoch: i64, frame: Frame) {
        match self.known {
            Some(KnownEvents { head, .. }) if head.epoch != epoch || frame.seq <= head.seq + 1 => {
                self.take(epoch, frame);
                self.take_out_of_order();
            }
            // Early frames may use as much memory as the ring. Later ones are dropped, because the log has all of them.
            _ if self.out_of_order.len() < self.capacity
                && self.out_of_order_bytes < RING_BYTES =>
            {
                self.out_of_order_bytes += frame.bytes.len();
                let replaced = self.out_of_order.insert(frame.seq, (epoch, frame));
                self.out_of_order_bytes -= replaced.map_or(0, |(_, frame)| frame.bytes.len());
            }
            _ => {}
        }
    }

    /// At most `most` frames after `position`.
    pub fn pull(&mut self, position: Position, most: u64) -> Pulled {
        let Some(head) = self.head() else {
            return Pulled::Nothing;
        };
        if head.history != position.history {
            return Pulled::HistoryReplaced;
        }
        if position.seq > head.seq {
            return Pulled::Ahead;
        }
        if position.seq == head.seq {
            return if self.is_over { Pulled::TopicEnded } else { Pulled::Nothing };
        }
        if let Some((from, run)) = &self.cached_run
            && *from == position.seq
            && run.count <= most
        {
            return Pulled::Run(run.clone());
        }
        let wanted = usize::try_from(head.seq - position.seq).unwrap_or(usize::MAX);
        let Some(first) = self.frames.len().checked_sub(wanted) else {
            return Pulled::Behind;
        };
        let mut size = 0;
        let frames: Vec<&Frame> = self
            .frames
            .range(first..)
            .take(usize::try_from(most).unwrap_or(usize::MAX))
            .take_while(|frame| {
                let fits = size == 0 || size + frame.bytes.len() <= WRITE_BYTES;
                size += frame.bytes.len();
                fits
            })
            .collect();
        let Some(run) = Run::from_frames(&frames) else {
            return Pulled::Nothing;
        };
        // A piece that `most` has limited is not stored, because it would make other subscribers write less.
        if run.count < most {
            self.cached_run = Some((position.seq, run.clone()));
        }
        Pulled::Run(run)
    }

    /// Takes a frame that is already known, or that follows the head in the same history.
    fn take(&mut self, epoch: i64, frame: Frame) {
        match self.known {
            Some(KnownEvents { head, .. }) if head.epoch == epoch && frame.seq > head.seq => {
                self.append(frame);
            }
            Some(KnownEvents { head, .. }) if head.epoch == epoch => {
                let known = self.nonce(frame.seq);
                self.has_foreign_frame |= known.is_some_and(|nonce| nonce != frame.nonce);
            }
            _ => self.has_foreign_frame = true,
        }
    }

    fn append(&mut self, frame: Frame) {
        let Some(KnownEvents { head, newest_known, .. }) = &mut self.known else { return };
        let is_replaced = frame.seq == newest_known.seq && frame.nonce != newest_known.nonce;
        if frame.prior_nonce != head.nonce || is_replaced {
            self.has_foreign_frame = true;
            return;
        }
        (head.seq, head.nonce) = (frame.seq, frame.nonce);
        if head.seq > newest_known.seq {
            *newest_known = *head;
        }
        self.is_over = frame.terminal;
        self.cached_run = None;
        self.bytes += frame.bytes.len();
        self.frames.push_back(frame);
        while self.frames.len() > self.capacity || self.bytes > RING_BYTES && self.frames.len() > 1
        {
            let Some(oldest) = self.frames.pop_front() else { break };
            self.bytes -= oldest.bytes.len();
            self.prior_nonce = oldest.nonce;
        }
    }

    fn take_out_of_order(&mut self) {
        while let (Some(KnownEvents { head, .. }), Some(entry)) =
            (self.known, self.out_of_order.first_entry())
        {
            let seq = *entry.key();
            if seq > head.seq + 1 {
                break;
            }
            let (epoch, frame) = entry.remove();
            self.out_of_order_bytes -= frame.bytes.len();
            self.take(epoch, frame);
        }
    }
}

#[cfg(test)]
mod tests;
