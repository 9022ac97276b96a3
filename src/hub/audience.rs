//! The open streams of a live topic, dense enough to walk through thousands of them.
//!
//! Most streams want every frame as it comes and have sockets that take it. Such a stream is at
//! ease: all that it takes to write to it stands in its seat, and the seats stand next to one
//! another. To fetch each stream from memory costs more than all else that is done here; what a
//! delivery costs then is the kernel's send. Whatever else happens to a stream, it is settled
//! first: its own books are brought up to date.

use std::{io, os::fd::RawFd, sync::Arc};

use super::{
    clock::QUIET,
    frame::Run,
    live::Live,
    outlet::Outlet,
    ring::{Place, Pulled},
    send::{BATCH, Sender, send},
};

/// A stream's place in the audience. Only its reactor lets it take its ease.
struct Seat {
    outlet: Arc<Outlet>,
    /// While it is at ease: its socket, which the outlet keeps open.
    socket: RawFd,
    /// The reactor's tick of the last write.
    tick: u32,
    /// Up to where it has been written to.
    seq: i64,
}

/// The stream is not at ease, and knows by itself where it stands.
const UNEASY: i64 = -1;

impl Seat {
    fn is_at_ease(&self) -> bool {
        self.seq != UNEASY
    }

    fn settle(&mut self) {
        if self.is_at_ease() {
            self.outlet.settle(self.seq, self.tick);
            self.seq = UNEASY;
        }
    }

    /// Takes note of what came of a write. Whether it is still at ease.
    fn wrote(&mut self, run: &Run, result: io::Result<usize>, tick: u32) -> bool {
        if matches!(result, Ok(written) if written == run.bytes.len()) {
            self.seq = self.seq.saturating_add_unsigned(run.count);
            self.tick = tick;
            return true;
        }
        self.settle();
        self.outlet.wrote_for(run.clone(), result);
        false
    }
}

/// The part of an audience that one reactor looks after.
#[derive(Default)]
pub(super) struct Part {
    seats: Vec<Seat>,
    /// The ring's history in which all stand that are at ease.
    history: u32,
    /// What its reactor knows the topic by, while there is anybody.
    pub(super) key: usize,
}

/// What a walk has with it.
pub(super) struct Walker<'a> {
    pub(super) live: &'a Live,
    pub(super) sender: &'a mut Option<Sender>,
    pub(super) tick: u32,
}

impl Part {
    pub(super) fn len(&self) -> usize {
        self.seats.len()
    }

    /// Takes a stream in, and returns its place.
    pub(super) fn push(&mut self, outlet: Arc<Outlet>) -> usize {
        self.seats.push(Seat { outlet, socket: -1, tick: 0, seq: UNEASY });
        self.seats.len() - 1
    }

    /// Lets the stream at a place go, and returns the one that takes the place.
    pub(super) fn remove(&mut self, place: usize) -> Option<&Outlet> {
        self.seats.swap_remove(place);
        self.seats.get(place).map(|seat| &*seat.outlet)
    }

    /// The streams from `from` up to `to` of which it is not known that they have been written to
    /// not long before this tick, or all of them.
    pub(super) fn to_look_at(
        &self,
        from: usize,
        to: usize,
        tick: u32,
        is_all: bool,
    ) -> Vec<Arc<Outlet>> {
        let to = to.min(self.seats.len());
        let is_due =
            |seat: &&Seat| is_all || !seat.is_at_ease() || tick.wrapping_sub(seat.tick) >= QUIET;
        self.seats[from.min(to)..to]
            .iter()
            .filter(is_due)
            .map(|seat| Arc::clone(&seat.outlet))
            .collect()
    }

    /// Settles the stream, which may have lost its place.
    pub(super) fn settle(&mut self, place: usize, outlet: &Outlet) {
        if let Some(seat) = self.seats.get_mut(place)
            && std::ptr::eq(&raw const *seat.outlet, outlet)
        {
            seat.settle();
        }
    }

    /// All streams, settled.
    pub(super) fn settled(&mut self) -> impl Iterator<Item = Arc<Outlet>> {
        self.seats.iter_mut().map(|seat| {
            seat.settle();
            Arc::clone(&seat.outlet)
        })
    }

    /// Writes what is new to the streams from `from` up to `to`.
    pub(super) fn write(&mut self, from: usize, to: usize, walker: &mut Walker<'_>) {
        let Some(head) = walker.live.head() else { return };
        if self.history != head.history {
            self.seats.iter_mut().for_each(Seat::settle);
            self.history = head.history;
        }
        let to = to.min(self.seats.len());
        let seats = &mut self.seats[from.min(to)..to];
        if walker.sender.is_some() {
            write_together(seats, head, walker);
        }
        // What all who stand at the same place get.
        let mut piece: Option<(i64, Run)> = None;
        let mut delivered = 0;
        for seat in seats {
            while seat.is_at_ease() && seat.seq < head.seq {
                if piece.as_ref().is_none_or(|(from, _)| *from != seat.seq) {
                    piece = pull(walker.live, Place { seq: seat.seq, ..head });
                }
                let Some((_, run)) = &piece else {
                    seat.settle();
                    break;
                };
                if seat.wrote(run, send(seat.socket, &run.bytes), walker.tick) {
                    delivered += run.count;
                }
            }
            if !seat.is_at_ease()
                && let Some((socket, seq)) = seat.outlet.moved_to_ease(head.history)
            {
                (seat.socket, seat.seq, seat.tick) = (socket, seq, walker.tick);
            }
        }
        walker.live.delivered.inc_by(delivered);
    }
}

/// Writes to those at ease who stand where the first of them does, which is where nearly all do, in
/// one call of the kernel. Whoever is not done then is written to in turn.
fn write_together(seats: &mut [Seat], head: Place, walker: &mut Walker<'_>) {
    for seats in seats.chunks_mut(BATCH) {
        let Some(sender) = walker.sender.as_mut().filter(|sender| sender.works()) else { break };
        let first = seats.iter().find(|seat| seat.is_at_ease() && seat.seq < head.seq);
        let Some(place) = first.map(|seat| Place { seq: seat.seq, ..head }) else { continue };
        let Some((seq, run)) = pull(walker.live, place) else { continue };
        let sockets = seats.iter().filter(|seat| seat.seq == seq).map(|seat| seat.socket);
        let results = sender.send(sockets, &run.bytes);
        let mut delivered = 0;
        for (seat, result) in seats.iter_mut().filter(|seat| seat.seq == seq).zip(results) {
            if let Some(result) = result
                && seat.wrote(&run, result, walker.tick)
            {
                delivered += run.count;
            }
        }
        walker.live.delivered.inc_by(delivered);
    }
    if walker.sender.as_ref().is_some_and(|sender| !sender.works()) {
        *walker.sender = None;
    }
}

/// The frames that follow, unless they end the stream or are no longer there: then it has more to
/// do than to write.
fn pull(live: &Live, place: Place) -> Option<(i64, Run)> {
    match live.pull(place, u64::MAX) {
        Pulled::Run(run) if !run.terminal => Some((place.seq, run)),
        _ => None,
    }
}
