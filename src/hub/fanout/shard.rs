//! One reactor's share of a topic's subscribers, in a dense array that is fast for thousands of them.
//!
//! Most streams want every frame, and their sockets accept it at once. Such a stream is in direct mode: its entry
//! contains everything that a write needs. The entries are contiguous, because loading each stream from memory would
//! cost more than all other work here. So a delivery costs little more than the kernel's send. Before any other code
//! uses a stream, `sync_back` ends direct mode and updates the stream's own state.

use std::{io, os::fd::RawFd, sync::Arc};

use super::{
    send::{BATCH, Sender, send},
    subscriber::Subscriber,
};
use crate::hub::{
    subscription::SILENT_TICKS,
    topic::{LiveTopic, Position, Pulled, Run},
};

/// One subscriber. Only its reactor starts direct mode.
struct Entry {
    subscriber: Arc<Subscriber>,
    /// In direct mode, the socket of the subscriber, which keeps it open.
    socket: RawFd,
    /// In direct mode, the reactor's tick at the last write.
    tick: u32,
    /// In direct mode, number of the newest event that was written. Otherwise `NOT_DIRECT`.
    seq: i64,
}

/// Means that the stream is not in direct mode. Its subscription has the current position.
const NOT_DIRECT: i64 = -1;

impl Entry {
    fn is_direct(&self) -> bool {
        self.seq != NOT_DIRECT
    }

    fn sync_back(&mut self) {
        if self.is_direct() {
            self.subscriber.sync_back(self.seq, self.tick);
            self.seq = NOT_DIRECT;
        }
    }

    /// Applies the result of a write. Returns whether the stream is still in direct mode.
    fn wrote(&mut self, run: &Run, result: io::Result<usize>, tick: u32) -> bool {
        if matches!(result, Ok(written) if written == run.bytes.len()) {
            self.seq = self.seq.saturating_add_unsigned(run.count);
            self.tick = tick;
            return true;
        }
        self.sync_back();
        self.subscriber.wrote_directly(run.clone(), result);
        false
    }
}

/// One reactor's share of a topic's subscribers.
#[derive(Default)]
pub struct Shard {
    entries: Vec<Entry>,
    /// The ring's history that all entries in direct mode follow.
    history: u32,
    /// Key of the topic at the reactor. Valid while the shard has entries.
    pub key: usize,
}

/// The context of a write to a shard.
pub struct Writer<'a> {
    /// The topic whose events are written.
    pub topic: &'a LiveTopic,
    /// The queue of io_uring. `None` without io_uring.
    pub sender: &'a mut Option<Sender>,
    /// The current tick of the reactor.
    pub tick: u32,
}

impl Shard {
    /// The number of subscribers.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Adds a subscriber and returns its index.
    pub fn push(&mut self, subscriber: Arc<Subscriber>) -> usize {
        self.entries.push(Entry { subscriber, socket: -1, tick: 0, seq: NOT_DIRECT });
        self.entries.len() - 1
    }

    /// Removes the subscriber at an index. Returns the subscriber that moves to this index, if any.
    pub fn remove(&mut self, index: usize) -> Option<&Subscriber> {
        self.entries.swap_remove(index);
        self.entries.get(index).map(|entry| &*entry.subscriber)
    }

    /// The subscribers from index `from` to `to` (exclusive) that have to be checked on this tick. A full check
    /// includes all of them. Any other check includes those that may have been silent for [`SILENT_TICKS`] ticks.
    pub fn subscribers_to_check(
        &self,
        from: usize,
        to: usize,
        tick: u32,
        is_full: bool,
    ) -> Vec<Arc<Subscriber>> {
        let to = to.min(self.entries.len());
        let is_due = |entry: &&Entry| {
            is_full || !entry.is_direct() || tick.wrapping_sub(entry.tick) >= SILENT_TICKS
        };
        self.entries[from.min(to)..to]
            .iter()
            .filter(is_due)
            .map(|entry| Arc::clone(&entry.subscriber))
            .collect()
    }

    /// Ends direct mode for a subscriber, if it is still at this index.
    pub fn sync_back(&mut self, index: usize, subscriber: &Subscriber) {
        if let Some(entry) = self.entries.get_mut(index)
            && std::ptr::eq(&raw const *entry.subscriber, subscriber)
        {
            entry.sync_back();
        }
    }

    /// Ends direct mode for all subscribers, and returns them.
    pub fn sync_all_back(&mut self) -> impl Iterator<Item = Arc<Subscriber>> {
        self.entries.iter_mut().map(|entry| {
            entry.sync_back();
            Arc::clone(&entry.subscriber)
        })
    }

    /// Writes new events to the subscribers from index `from` to `to` (exclusive).
    pub fn write(&mut self, from: usize, to: usize, writer: &mut Writer<'_>) {
        let Some(head) = writer.topic.head() else { return };
        if self.history != head.history {
            self.entries.iter_mut().for_each(Entry::sync_back);
            self.history = head.history;
        }
        let to = to.min(self.entries.len());
        let entries = &mut self.entries[from.min(to)..to];
        if writer.sender.is_some() {
            write_together(entries, head, writer);
        }
        // All subscribers at the same position get the same piece.
        let mut piece: Option<(i64, Run)> = None;
        let mut delivered = 0;
        for entry in entries {
            while entry.is_direct() && entry.seq < head.seq {
                if piece.as_ref().is_none_or(|(from, _)| *from != entry.seq) {
                    piece = pull(writer.topic, Position { seq: entry.seq, ..head });
                }
                let Some((_, run)) = &piece else {
                    entry.sync_back();
                    break;
                };
                if entry.wrote(run, send(entry.socket, &run.bytes), writer.tick) {
                    delivered += run.count;
                }
            }
            if !entry.is_direct()
                && let Some((socket, seq)) = entry.subscriber.enter_direct_mode(head.history)
            {
                (entry.socket, entry.seq, entry.tick) = (socket, seq, writer.tick);
            }
        }
        writer.topic.delivered.inc_by(delivered);
    }
}

/// Writes to many entries in one system call: to those in direct mode at the position of the first of them. Nearly all
/// entries are at that position. The caller writes to the others one by one.
fn write_together(entries: &mut [Entry], head: Position, writer: &mut Writer<'_>) {
    for entries in entries.chunks_mut(BATCH) {
        let Some(sender) = writer.sender.as_mut().filter(|sender| sender.is_working()) else {
            break;
        };
        let first = entries.iter().find(|entry| entry.is_direct() && entry.seq < head.seq);
        let Some(position) = first.map(|entry| Position { seq: entry.seq, ..head }) else {
            continue;
        };
        let Some((seq, run)) = pull(writer.topic, position) else { continue };
        let sockets = entries.iter().filter(|entry| entry.seq == seq).map(|entry| entry.socket);
        let results = sender.send(sockets, &run.bytes);
        let mut delivered = 0;
        for (entry, result) in entries.iter_mut().filter(|entry| entry.seq == seq).zip(results) {
            if let Some(result) = result
                && entry.wrote(&run, result, writer.tick)
            {
                delivered += run.count;
            }
        }
        writer.topic.delivered.inc_by(delivered);
    }
    if writer.sender.as_ref().is_some_and(|sender| !sender.is_working()) {
        *writer.sender = None;
    }
}

/// The frames after a position, and the number of that position. `None` if the stream needs more than a write, because
/// the frames end it or are not in the ring.
fn pull(topic: &LiveTopic, position: Position) -> Option<(i64, Run)> {
    match topic.pull(position, u64::MAX) {
        Pulled::Run(run) if !run.terminal => Some((position.seq, run)),
        _ => None,
    }
}
