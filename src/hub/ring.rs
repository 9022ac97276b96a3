//! The newest frames of a topic, in order and without gaps.
//!
//! All of them are of one history: each frame says the nonce of the event before it. When the log
//! turns out to have other events than the ring (the database was restored from a backup, or has
//! failed over to a copy that lacked the newest events), the ring begins a new history, and every
//! subscriber that stood in the old one has to start over.

use std::collections::{BTreeMap, VecDeque};

use super::frame::{Frame, Run};
use crate::{event::Cursor, event_log::Stale};

/// Bytes of frames that one topic keeps, besides the number of frames from the configuration.
const RING_BYTES: usize = 8 << 20;

/// What one write carries at most, so that a subscriber far behind does not copy the whole ring.
const WRITE_BYTES: usize = 64 << 10;

/// Where a subscriber stands. The event with this number is known to be in the history, so its nonce
/// is not kept for each subscriber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Which of the ring's histories: they are counted from 1, and 0 is none.
    pub(super) history: u32,
    /// The newest event that the subscriber has.
    pub(super) seq: i64,
}

/// What a ring knows of its history. All of it is in the log, so a look at the log that begins later
/// and does not find it proves that the history was replaced.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    /// Which history.
    pub(super) history: u32,
    /// The newest frame.
    pub(super) head: Cursor,
    /// The newest event of the history that was seen anywhere: the head or one after it.
    pub(super) furthest: Cursor,
}

/// What a subscriber finds behind its place.
pub(super) enum Pulled {
    /// The frames that follow.
    Run(Run),
    /// Nothing yet.
    Nothing,
    /// Nothing ever: the subscriber has seen the last event.
    Over,
    /// The subscriber has seen more than the ring has heard of.
    Ahead,
    /// The ring does not reach back to the place: only the log can tell.
    Behind,
    /// The history was replaced: the subscriber has to start over.
    Lost,
}

/// See above.
#[derive(Default)]
pub(super) struct Ring {
    /// None until the log was looked at.
    known: Option<Known>,
    /// Why the history before this one was given up.
    lost: Option<Stale>,
    /// Where the head stood at first: the ring never held what came before.
    begun: i64,
    /// The nonce of the event before the first frame.
    prior_nonce: i32,
    /// The frames up to the head, without gaps.
    frames: VecDeque<Frame>,
    bytes: usize,
    /// The head is the last event there will ever be.
    is_over: bool,
    /// A frame was not of this history: the log has to be looked at.
    is_torn: bool,
    /// Frames that came before an earlier one, with their epochs: two commits may overtake each
    /// other on their way.
    early: BTreeMap<i64, (i64, Frame)>,
    early_bytes: usize,
    capacity: usize,
    /// The frames from a place on in one piece: most subscribers stand at the same place.
    piece: Option<(i64, Run)>,
}

impl Ring {
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, ..Self::default() }
    }

    pub(super) fn known(&self) -> Option<Known> {
        self.known
    }

    /// The place of a subscriber that has everything.
    pub(super) fn head(&self) -> Option<Place> {
        self.known.map(|Known { history, head, .. }| Place { history, seq: head.seq })
    }

    /// Whether the head is the last event there will ever be.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Why the history before this one was given up.
    pub(super) fn lost(&self) -> Stale {
        self.lost.unwrap_or(Stale::UnknownCursor)
    }

    /// The place of a cursor that the ring can vouch for.
    pub(super) fn find(&self, cursor: Cursor) -> Option<Place> {
        let Known { history, head, furthest } = self.known?;
        let is_ours = cursor.epoch == head.epoch && self.nonce(cursor.seq) == Some(cursor.nonce);
        (is_ours || cursor == furthest).then_some(Place { history, seq: cursor.seq })
    }

    /// The place of a cursor that the log has besides what was known of this history.
    pub(super) fn admit(&mut self, history: u32, cursor: Cursor) -> Option<Place> {
        let nonce = self.nonce(cursor.seq);
        let known = self.known.as_mut().filter(|known| known.history == history)?;
        if nonce.is_some_and(|nonce| nonce != cursor.nonce) {
            return None;
        }
        if cursor.seq > known.furthest.seq {
            known.furthest = cursor;
        }
        Some(Place { history, seq: cursor.seq })
    }

    /// Whether the log, which has come to `head`, may have just what the ring has. `known` is what
    /// the ring knew before that was read.
    pub(super) fn agrees(&self, known: Option<Known>, head: Cursor) -> bool {
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

    /// The nonce of an event, if it is that of a frame or of the event before the first one.
    fn nonce(&self, seq: i64) -> Option<i32> {
        let back = usize::try_from(self.known?.head.seq.checked_sub(seq)?).ok()?;
        match self.frames.len().checked_sub(back)? {
            0 => Some(self.prior_nonce),
            count => self.frames.get(count - 1).map(|frame| frame.nonce),
        }
    }

    /// If the ring held what follows the place and does no more: the events after which a subscriber
    /// may go on. The last one that is no longer here, and the newest, unless nothing follows it:
    /// that must not be missed.
    pub(super) fn passed(&self, place: Place) -> Option<(Cursor, Cursor)> {
        let Known { head, .. } = self.known.filter(|known| known.history == place.history)?;
        let kept = i64::try_from(self.frames.len()).unwrap_or(i64::MAX);
        let (oldest, newest) = (head.seq - kept, head.seq - i64::from(self.is_over));
        let cursor = |seq| Some(Cursor { seq, nonce: self.nonce(seq)?, ..head });
        if !(self.begun..oldest).contains(&place.seq) {
            return None;
        }
        Some((cursor(oldest)?, cursor(newest)?))
    }

    /// Whether something is missing, or was of another history.
    pub(super) fn has_gap(&mut self) -> bool {
        let is_torn = std::mem::take(&mut self.is_torn);
        self.known.is_some() && (is_torn || !self.early.is_empty())
    }

    /// Whether a subscriber at `seq` loses its place in the ring before long.
    pub(super) fn is_short_for(&self, seq: i64) -> bool {
        let full = self.frames.len() >= self.capacity || 2 * self.bytes > RING_BYTES;
        full && self.frames.get(self.frames.len() / 2).is_some_and(|middle| seq < middle.seq)
    }

    /// Gives up the history with this number, for this reason, and begins another one at `head`,
    /// unless somebody has done so already. Whether it did.
    pub(super) fn begin(&mut self, old: u32, head: Cursor, is_over: bool, lost: Stale) -> bool {
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
            // These may be of the history that was given up. The log has those that are not.
            self.is_torn |= !self.early.is_empty();
            self.early.clear();
            self.early_bytes = 0;
        }
        self.take_early();
        true
    }

    /// Takes a frame, early or late or known as it may be.
    pub(super) fn push(&mut self, epoch: i64, frame: Frame) {
        match self.known {
            Some(Known { head, .. }) if head.epoch != epoch || frame.seq <= head.seq + 1 => {
                self.take(epoch, frame);
                self.take_early();
            }
            // Not more than the ring itself would hold: the log has them all.
            _ if self.early.len() < self.capacity && self.early_bytes < RING_BYTES => {
                self.early_bytes += frame.bytes.len();
                let twin = self.early.insert(frame.seq, (epoch, frame));
                self.early_bytes -= twin.map_or(0, |(_, frame)| frame.bytes.len());
            }
            _ => {}
        }
    }

    /// At most `most` frames after `place`.
    pub(super) fn pull(&mut self, place: Place, most: u64) -> Pulled {
        let Some(head) = self.head() else {
            return Pulled::Nothing;
        };
        if head.history != place.history {
            return Pulled::Lost;
        }
        if place.seq > head.seq {
            return Pulled::Ahead;
        }
        if place.seq == head.seq {
            return if self.is_over { Pulled::Over } else { Pulled::Nothing };
        }
        if let Some((from, run)) = &self.piece
            && *from == place.seq
            && run.count <= most
        {
            return Pulled::Run(run.clone());
        }
        let wanted = usize::try_from(head.seq - place.seq).unwrap_or(usize::MAX);
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
        let Some(run) = Run::of(&frames) else {
            return Pulled::Nothing;
        };
        // One that asked for less would have the others write less.
        if run.count < most {
            self.piece = Some((place.seq, run.clone()));
        }
        Pulled::Run(run)
    }

    /// Takes a frame that is known, or follows the head and is of the same history.
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
