//! The newest frames of a topic, in order and without gaps.

use std::collections::{BTreeMap, VecDeque};

use super::frame::{Frame, Run};
use crate::event::Cursor;

/// Bytes of frames that one topic keeps, besides the number of frames from the configuration.
const RING_BYTES: usize = 8 << 20;

/// What one write carries at most, so that a subscriber far behind does not copy the whole ring.
const WRITE_BYTES: usize = 64 << 10;

/// What a subscriber finds behind its cursor.
pub(super) enum Pulled {
    /// The frames that follow.
    Run(Run),
    /// Nothing yet.
    Nothing,
    /// Nothing ever: the subscriber has seen the last event.
    Over,
    /// The subscriber has seen more than the ring has heard of.
    Ahead,
    /// The ring does not reach back to the cursor, or has another epoch: only the log can tell.
    Behind,
}

/// See above.
#[derive(Default)]
pub(super) struct Ring {
    /// Where the newest frame stands; none until the log was looked at.
    head: Option<Cursor>,
    /// Where it stood at first: it never held what came before.
    begun: i64,
    /// The frames up to the head, without gaps.
    frames: VecDeque<Frame>,
    bytes: usize,
    /// The head is the last event there will ever be.
    is_over: bool,
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

    pub(super) fn head(&self) -> Option<Cursor> {
        self.head
    }

    /// If the ring held what follows the cursor and does no more: the events after which a subscriber
    /// may go on. The last one that is no longer here, and the newest, unless nothing follows it:
    /// that must not be missed.
    pub(super) fn passed(&self, cursor: Cursor) -> Option<(Cursor, Cursor)> {
        let head = self.head.filter(|head| head.epoch == cursor.epoch)?;
        let kept = i64::try_from(self.frames.len()).unwrap_or(i64::MAX);
        let (oldest, newest) = (head.seq - kept, head.seq - i64::from(self.is_over));
        let place = |seq| Cursor { seq, ..head };
        (self.begun..oldest).contains(&cursor.seq).then(|| (place(oldest), place(newest)))
    }

    pub(super) fn has_gap(&self) -> bool {
        self.head.is_some() && !self.early.is_empty()
    }

    /// Whether a subscriber at `seq` loses its place in the ring before long.
    pub(super) fn is_short_for(&self, seq: i64) -> bool {
        let full = self.frames.len() >= self.capacity || 2 * self.bytes > RING_BYTES;
        full && self.frames.get(self.frames.len() / 2).is_some_and(|middle| seq < middle.seq)
    }

    /// Begins at `head`, unless the ring has already come further. Whether it moved.
    pub(super) fn start(&mut self, head: Cursor, is_over: bool) -> bool {
        if self.head.is_some_and(|old| old.epoch == head.epoch && old.seq >= head.seq) {
            return false;
        }
        self.head = Some(head);
        self.begun = head.seq;
        self.is_over = is_over;
        self.frames.clear();
        self.bytes = 0;
        self.piece = None;
        self.take_early();
        true
    }

    /// Takes a frame, early or late or known as it may be. Whether its epoch is the ring's.
    pub(super) fn push(&mut self, epoch: i64, frame: Frame) -> bool {
        match self.head {
            Some(head) if head.epoch != epoch => return false,
            Some(head) if frame.seq <= head.seq => {}
            Some(head) if frame.seq == head.seq + 1 => {
                self.append(frame);
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
        true
    }

    /// At most `most` frames after `cursor`.
    pub(super) fn pull(&mut self, cursor: Cursor, most: u64) -> Pulled {
        let Some(head) = self.head else {
            return Pulled::Nothing;
        };
        if head.epoch != cursor.epoch {
            return Pulled::Behind;
        }
        if cursor.seq > head.seq {
            return Pulled::Ahead;
        }
        if cursor.seq == head.seq {
            return if self.is_over { Pulled::Over } else { Pulled::Nothing };
        }
        if let Some((from, run)) = &self.piece
            && *from == cursor.seq
            && run.count <= most
        {
            return Pulled::Run(run.clone());
        }
        let wanted = usize::try_from(head.seq - cursor.seq).unwrap_or(usize::MAX);
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
            self.piece = Some((cursor.seq, run.clone()));
        }
        Pulled::Run(run)
    }

    fn append(&mut self, frame: Frame) {
        if let Some(head) = &mut self.head {
            head.seq = frame.seq;
        }
        self.is_over = frame.terminal;
        self.piece = None;
        self.bytes += frame.bytes.len();
        self.frames.push_back(frame);
        while self.frames.len() > self.capacity || self.bytes > RING_BYTES && self.frames.len() > 1
        {
            self.bytes -= self.frames.pop_front().map_or(0, |frame| frame.bytes.len());
        }
    }

    fn take_early(&mut self) {
        while let (Some(head), Some(entry)) = (self.head, self.early.first_entry()) {
            let seq = *entry.key();
            if seq > head.seq + 1 {
                break;
            }
            let (epoch, frame) = entry.remove();
            self.early_bytes -= frame.bytes.len();
            if seq > head.seq && epoch == head.epoch {
                self.append(frame);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn only_who_stood_in_the_ring_is_passed_by_it() {
        let at = |seq| Cursor { epoch: 1, seq };
        let mut ring = Ring::new(2);
        ring.start(at(5), false);
        for seq in 6..=8 {
            ring.push(1, Frame { seq, bytes: Bytes::from_static(b"x"), terminal: seq == 8 });
        }
        assert_eq!(ring.passed(at(4)), None, "never in it");
        assert_eq!(ring.passed(at(5)), Some((at(6), at(7))), "the last one must not be missed");
        assert_eq!(ring.passed(at(6)), None, "still in it");
        assert_eq!(ring.passed(Cursor { epoch: 2, seq: 5 }), None, "another log");
    }
}
