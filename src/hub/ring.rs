//! A live topic: the newest frames, without gaps, and the wake-up of its subscribers.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
};

use bytes::{Bytes, BytesMut};
use tokio::sync::watch;

use crate::event::{Cursor, Frame, Topic};

/// Bytes of frames that one topic keeps, besides the number of frames from the configuration.
const RING_BYTES: usize = 8 << 20;

/// What one write carries at most, so that a subscriber far behind does not copy the whole ring.
const WRITE_BYTES: usize = 64 << 10;

/// Whether a push left something missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    /// The ring has everything that it was told of.
    Whole,
    /// A number was skipped: the log has to be read.
    Gap,
}

/// What a subscriber finds behind its cursor.
pub(super) enum Pulled {
    /// Frames, coalesced into one write.
    Frames { bytes: Bytes, count: u64, seq: i64, terminal: bool },
    /// Nothing yet.
    Nothing,
    /// The ring does not reach back to the cursor, or not up to it, or has another epoch: only the
    /// log can tell.
    Behind,
}

/// Nobody reads the log for this ring. Between this and [`ASKED`], at 1, somebody does.
const IDLE: u8 = 0;
/// The log has to be read, for the first time or once more.
const ASKED: u8 = 2;

/// A topic with at least one subscriber.
pub(super) struct Live {
    topic: Topic,
    ring: Mutex<Ring>,
    /// Changes whenever the ring does. Subscribers wait on it.
    changed: watch::Sender<()>,
    fill: AtomicU8,
}

struct Ring {
    /// Where the newest frame stands; none until the log was looked at.
    head: Option<Cursor>,
    /// The frames up to the head, without gaps.
    frames: VecDeque<Frame>,
    bytes: usize,
    /// Frames that came before an earlier one: two commits may overtake each other on their way.
    early: BTreeMap<i64, Frame>,
    capacity: usize,
}

impl Live {
    pub(super) fn new(topic: Topic, capacity: usize) -> Self {
        let ring = Ring {
            head: None,
            frames: VecDeque::new(),
            bytes: 0,
            early: BTreeMap::new(),
            capacity,
        };
        Self {
            topic,
            ring: Mutex::new(ring),
            changed: watch::Sender::new(()),
            fill: AtomicU8::new(IDLE),
        }
    }

    pub(super) fn topic(&self) -> &Topic {
        &self.topic
    }

    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    pub(super) fn head(&self) -> Option<Cursor> {
        self.ring().head
    }

    pub(super) fn is_behind(&self, log: Cursor) -> bool {
        self.head().is_none_or(|head| head.epoch != log.epoch || head.seq < log.seq)
    }

    pub(super) fn has_gap(&self) -> bool {
        !self.ring().early.is_empty()
    }

    /// Begins at `head`, unless the ring has already come further.
    pub(super) fn start(&self, head: Cursor) {
        let mut ring = self.ring();
        if ring.head.is_some_and(|old| old.epoch == head.epoch && old.seq >= head.seq) {
            return;
        }
        ring.head = Some(head);
        ring.frames.clear();
        ring.bytes = 0;
        ring.take_early();
        drop(ring);
        self.changed.send_replace(());
    }

    /// Takes frames with their epochs, in any order, known ones too.
    pub(super) fn push(&self, frames: impl Iterator<Item = (i64, Frame)>) -> Pushed {
        let mut ring = self.ring();
        let before = ring.head;
        let mut stranger = false;
        for (epoch, frame) in frames {
            stranger |= ring.head.is_some_and(|head| head.epoch != epoch);
            if !stranger {
                ring.push(frame);
            }
        }
        let gap = stranger || (ring.head.is_some() && !ring.early.is_empty());
        let moved = ring.head != before;
        drop(ring);
        if moved {
            self.changed.send_replace(());
        }
        if gap { Pushed::Gap } else { Pushed::Whole }
    }

    /// At most `most` frames after `cursor`.
    pub(super) fn pull(&self, cursor: Cursor, most: u64) -> Pulled {
        let ring = self.ring();
        let Some(head) = ring.head else {
            return Pulled::Nothing;
        };
        if head.epoch != cursor.epoch || cursor.seq > head.seq {
            return Pulled::Behind;
        }
        let Ok(wanted) = usize::try_from(head.seq - cursor.seq) else {
            return Pulled::Behind;
        };
        if wanted == 0 {
            return Pulled::Nothing;
        }
        let Some(first) = ring.frames.len().checked_sub(wanted) else {
            return Pulled::Behind;
        };
        let mut size = 0;
        let frames: Vec<&Frame> = ring
            .frames
            .range(first..)
            .take(usize::try_from(most).unwrap_or(usize::MAX))
            .take_while(|frame| {
                let fits = size == 0 || size + frame.bytes.len() <= WRITE_BYTES;
                size += frame.bytes.len();
                fits
            })
            .collect();
        let Some(last) = frames.last() else {
            return Pulled::Nothing;
        };
        let (seq, terminal) = (last.seq, last.terminal);
        Pulled::Frames { bytes: coalesce(&frames), count: frames.len() as u64, seq, terminal }
    }

    /// Whether the caller is the one to fill; if not, the one who does will look again.
    pub(super) fn begin_fill(&self) -> bool {
        self.fill.swap(ASKED, Ordering::AcqRel) == IDLE
    }

    /// Whether somebody has asked since the filler last looked; otherwise filling has ended.
    pub(super) fn fill_again(&self) -> bool {
        self.fill
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |state| state.checked_sub(1))
            .is_ok_and(|state| state == ASKED)
    }

    pub(super) fn give_up_fill(&self) {
        self.fill.store(IDLE, Ordering::Release);
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        // A ring left half changed by a panic has at worst lost its newest frame, and the log
        // gives that back.
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ring {
    fn push(&mut self, frame: Frame) {
        match self.head {
            Some(head) if frame.seq <= head.seq => {}
            Some(head) if frame.seq == head.seq + 1 => {
                self.append(frame);
                self.take_early();
            }
            // Not more than the ring itself would hold: the log has them all.
            _ if self.early.len() < self.capacity => {
                self.early.insert(frame.seq, frame);
            }
            _ => {}
        }
    }

    fn append(&mut self, frame: Frame) {
        if let Some(head) = &mut self.head {
            head.seq = frame.seq;
        }
        self.bytes += frame.bytes.len();
        self.frames.push_back(frame);
        while self.frames.len() > self.capacity || self.bytes > RING_BYTES && self.frames.len() > 1
        {
            self.bytes -= self.frames.pop_front().map_or(0, |frame| frame.bytes.len());
        }
    }

    fn take_early(&mut self) {
        while let (Some(head), Some(entry)) = (self.head, self.early.first_entry()) {
            match *entry.key() {
                seq if seq <= head.seq => drop(entry.remove()),
                seq if seq == head.seq + 1 => {
                    let frame = entry.remove();
                    self.append(frame);
                }
                _ => break,
            }
        }
    }
}

/// One frame goes out as the bytes that all subscribers share; several are worth one copy, because
/// each write they save costs more.
pub(super) fn coalesce(frames: &[&Frame]) -> Bytes {
    if let [frame] = frames {
        return frame.bytes.clone();
    }
    let mut bytes = BytesMut::with_capacity(frames.iter().map(|frame| frame.bytes.len()).sum());
    for frame in frames {
        bytes.extend_from_slice(&frame.bytes);
    }
    bytes.freeze()
}
