//! The newest frames of a topic, in order and without gaps.
//!
//! All of them belong to one history: each frame has the nonce of the event before it. The log can
//! have other events than the ring after the database was restored from a backup. So it can after a
//! failover to a copy that lacked the newest events. Then the ring begins a new history, and every
//! subscription in the old one has to start over.

use std::collections::{BTreeMap, VecDeque};

use super::frame::{Frame, Run};
use crate::{event::Cursor, event_log::Stale};

/// Most bytes of frames that one topic keeps. The configuration bounds the number of frames.
const RING_BYTES: usize = 8 << 20;

/// Most bytes in one write, so that a subscriber far behind does not copy the whole ring.
const WRITE_BYTES: usize = 64 << 10;

/// The progress of a subscription. The event with this number is known to be in the history, so no
/// subscription has to keep its nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Number of the ring's history, from 1; 0 is none.
    pub history: u32,
    /// The newest event that the subscription has.
    pub seq: i64,
}

/// The events that a ring knows to be in its history. All of them are in the log. If a read of the
/// log that begins later does not find them, then the history was replaced.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// Number of the history.
    pub history: u32,
    /// The newest frame.
    pub head: Cursor,
    /// The newest known event of the history: the head or one after it.
    pub furthest: Cursor,
}

/// The answer to a request for what follows a position.
pub enum Pulled {
    /// The frames that follow.
    Run(Run),
    /// Nothing yet.
    Nothing,
    /// Nothing ever: the position is that of the last event.
    Over,
    /// The position is newer than the ring's head.
    Ahead,
    /// The position is older than the ring: only the log has what follows.
    Behind,
    /// The history was replaced: the subscription has to start over.
    Lost,
}

/// The newest frames of a topic.
#[derive(Default)]
pub struct Ring {
    /// None until the log was read.
    known: Option<Known>,
    /// The reason why the history before this one ended.
    lost: Option<Stale>,
    /// The head at the beginning: the ring never held what came before it.
    begun: i64,
    /// The nonce of the event before the first frame.
    prior_nonce: i32,
    /// The frames up to the head, without gaps.
    frames: VecDeque<Frame>,
    bytes: usize,
    /// The head is the last event there will ever be.
    is_over: bool,
    /// A frame did not belong to this history: the log has to be read.
    is_torn: bool,
    /// Frames that came before an earlier one, with their epochs: one commit can overtake another
    /// on the way here.
    early: BTreeMap<i64, (i64, Frame)>,
    early_bytes: usize,
    capacity: usize,
    /// The frames after a position in one piece: most subscribers are at the same position.
    piece: Option<(i64, Run)>,
}

impl Ring {
    /// A ring for so many frames, whose log was not read yet.
    pub fn new(capacity: usize) -> Self {
        Self { capacity, ..Self::default() }
    }

    /// The events that it knows to be in its history.
    pub fn known(&self) -> Option<Known> {
        self.known
    }

    /// The position of a subscription that has everything.
    pub fn head(&self) -> Option<Position> {
        self.known.map(|Known { history, head, .. }| Position { history, seq: head.seq })
    }

    /// Whether the head is the last event there will ever be.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// The reason why the history before this one ended.
    pub fn lost(&self) -> Stale {
        self.lost.unwrap_or(Stale::UnknownCursor)
    }

    /// The position of a cursor, if the ring alone can tell that it is in this history.
    pub fn find(&self, cursor: Cursor) -> Option<Position> {
        let Known { history, head, furthest } = self.known?;
        let is_ours = cursor.epoch == head.epoch && self.nonce(cursor.seq) == Some(cursor.nonce);
        (is_ours || cursor == furthest).then_some(Position { history, seq: cursor.seq })
    }

    /// The position of a cursor that the log has, together with what was known of this history.
    pub fn admit(&mut self, history: u32, cursor: Cursor) -> Option<Position> {
        let nonce = self.nonce(cursor.seq);
        let known = self.known.as_mut().filter(|known| known.history == history)?;
        if nonce.is_some_and(|nonce| nonce != cursor.nonce) {
            return None;
        }
        if cursor.seq > known.furthest.seq {
            known.furthest = cursor;
        }
        Some(Position { history, seq: cursor.seq })
    }

    /// Whether a log whose newest event is `head` can have exactly the events that the ring has.
    /// `known` is what the ring knew before the log was read.
    pub fn agrees(&self, known: Option<Known>, head: Cursor) -> bool {
        let (Some(before), Some(now)) = (known, self.known) else { return false };
        if before.history != now.history {
            return true;
        }
        let nonce = self.nonce(head.seq);
        head.epoch == now.head.epoch
            && head.seq >= before.furthest.seq
            && head.seq <= now.head.seq
            && nonce.is_none_or(|nonce| nonce == head.nonce)
    }

    /// The nonce of an event that has a frame here, or that comes right before the first frame.
    fn nonce(&self, seq: i64) -> Option<i32> {
        let back = usize::try_from(self.known?.head.seq.checked_sub(seq)?).ok()?;
        match self.frames.len().checked_sub(back)? {
            0 => Some(self.prior_nonce),
            count => self.frames.get(count - 1).map(|frame| frame.nonce),
        }
    }

    /// If the ring held what follows the position and has dropped it: two events after which a
    /// subscription can resume. The first is the newest event that the ring has dropped. The second
    /// is the newest event, or the one before it if no event can follow: no subscription may miss
    /// that one.
    pub fn passed(&self, position: Position) -> Option<(Cursor, Cursor)> {
        let Known { head, .. } = self.known.filter(|known| known.history == position.history)?;
        let kept = i64::try_from(self.frames.len()).unwrap_or(i64::MAX);
        let (oldest, newest) = (head.seq - kept, head.seq - i64::from(self.is_over));
        let cursor = |seq| Some(Cursor { seq, nonce: self.nonce(seq)?, ..head });
        if !(self.begun..oldest).contains(&position.seq) {
            return None;
        }
        Some((cursor(oldest)?, cursor(newest)?))
    }

    /// Whether a frame is missing, or belonged to another history.
    pub fn has_gap(&mut self) -> bool {
        let is_torn = std::mem::take(&mut self.is_torn);
        self.known.is_some() && (is_torn || !self.early.is_empty())
    }

    /// Whether the ring will soon drop what follows `seq`.
    pub fn is_short_for(&self, seq: i64) -> bool {
        let full = self.frames.len() >= self.capacity || 2 * self.bytes > RING_BYTES;
        full && self.frames.get(self.frames.len() / 2).is_some_and(|middle| seq < middle.seq)
    }

    /// Ends the history with this number, for this reason, and begins another one at `head`, unless
    /// another caller has done so already. Whether it did.
    pub fn begin(&mut self, old: u32, head: Cursor, is_over: bool, lost: Stale) -> bool {
        if self.known.map_or(0, |known| known.history) != old {
            return false;
        }
        self.known = Some(Known { history: old + 1, head, furthest: head });
        self.lost = Some(lost);
        self.begun = head.seq;
        self.prior_nonce = head.nonce;
        self.is_over = is_over;
        self.frames.clear();
        self.bytes = 0;
        self.piece = None;
        if old != 0 {
            // These may belong to the history that has ended. The log has those that do not.
            self.is_torn |= !self.early.is_empty();
            self.early.clear();
            self.early_bytes = 0;
        }
        self.take_early();
        true
    }

    /// Takes a frame, whether it is the next one, early or known.
    pub fn push(&mut self, epoch: i64, frame: Frame) {
        match self.known {
            Some(Known { head, .. }) if head.epoch != epoch || frame.seq <= head.seq + 1 => {
                self.take(epoch, frame);
                self.take_early();
            }
            // Not more than the ring itself would hold: the log has all of them.
            _ if self.early.len() < self.capacity && self.early_bytes < RING_BYTES => {
                self.early_bytes += frame.bytes.len();
                let twin = self.early.insert(frame.seq, (epoch, frame));
                self.early_bytes -= twin.map_or(0, |(_, frame)| frame.bytes.len());
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
            return Pulled::Lost;
        }
        if position.seq > head.seq {
            return Pulled::Ahead;
        }
        if position.seq == head.seq {
            return if self.is_over { Pulled::Over } else { Pulled::Nothing };
        }
        if let Some((from, run)) = &self.piece
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
        // A piece for a caller that wants less would make the others write less.
        if run.count < most {
            self.piece = Some((position.seq, run.clone()));
        }
        Pulled::Run(run)
    }

    /// Takes a frame that is known, or that follows the head in the same history.
    fn take(&mut self, epoch: i64, frame: Frame) {
        match self.known {
            Some(Known { head, .. }) if head.epoch == epoch && frame.seq > head.seq => {
                self.append(frame);
            }
            Some(Known { head, .. }) if head.epoch == epoch => {
                let known = self.nonce(frame.seq);
                self.is_torn |= known.is_some_and(|nonce| nonce != frame.nonce);
            }
            _ => self.is_torn = true,
        }
    }

    fn append(&mut self, frame: Frame) {
        let Some(Known { head, furthest, .. }) = &mut self.known else { return };
        let is_replaced = frame.seq == furthest.seq && frame.nonce != furthest.nonce;
        if frame.prior_nonce != head.nonce || is_replaced {
            self.is_torn = true;
            return;
        }
        (head.seq, head.nonce) = (frame.seq, frame.nonce);
        if head.seq > furthest.seq {
            *furthest = *head;
        }
        self.is_over = frame.terminal;
        self.piece = None;
        self.bytes += frame.bytes.len();
        self.frames.push_back(frame);
        while self.frames.len() > self.capacity || self.bytes > RING_BYTES && self.frames.len() > 1
        {
            let Some(oldest) = self.frames.pop_front() else { break };
            self.bytes -= oldest.bytes.len();
            self.prior_nonce = oldest.nonce;
        }
    }

    fn take_early(&mut self) {
        while let (Some(Known { head, .. }), Some(entry)) = (self.known, self.early.first_entry()) {
            let seq = *entry.key();
            if seq > head.seq + 1 {
                break;
            }
            let (epoch, frame) = entry.remove();
            self.early_bytes -= frame.bytes.len();
            self.take(epoch, frame);
        }
    }
}

#[cfg(test)]
mod tests;
