//! Bytes of answers that wait for their clients to read them, over all connections.
//!
//! When there are too many, those give way who hold the most, and of theirs the answer that has made no
//! progress for longest. So a client that reads is served throughout, and nobody's unread answers
//! displace those of somebody who holds fewer.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use uuid::Uuid;

use super::pace::Pace;
use crate::telemetry::Telemetry;

/// Whose answer it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Holder {
    User(Uuid),
    /// Who has not said who they are.
    Address(IpAddr),
}

/// See above.
pub(super) struct Budget {
    most: usize,
    telemetry: Arc<Telemetry>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    used: usize,
    number: u64,
    held: HashMap<u64, Held>,
}

struct Held {
    holder: Holder,
    size: usize,
    pace: Arc<Pace>,
}

impl Budget {
    pub(super) fn new(most: usize, telemetry: Arc<Telemetry>) -> Arc<Self> {
        Arc::new(Self { most, telemetry, state: Mutex::default() })
    }

    /// Counts an answer, and gives up others for it if need be.
    pub(super) fn charge(
        self: &Arc<Self>,
        holder: Holder,
        size: usize,
        pace: &Arc<Pace>,
    ) -> Charge {
        let mut state = self.state.lock();
        while state.used + size > self.most {
            let Some(given_up) = state.give_up() else { break };
            self.telemetry.answer_cut("unread_bytes");
            given_up.pace.cut();
        }
        state.used += size;
        state.number += 1;
        let number = state.number;
        state.held.insert(number, Held { holder, size, pace: Arc::clone(pace) });
        Charge { budget: Arc::clone(self), number }
    }
}

impl State {
    /// Takes out what has to give way.
    fn give_up(&mut self) -> Option<Held> {
        let mut totals = HashMap::<Holder, usize>::new();
        for held in self.held.values() {
            *totals.entry(held.holder).or_default() += held.size;
        }
        let most = totals.into_iter().max_by_key(|(_, total)| *total)?.0;
        let theirs = self.held.iter().filter(|(_, held)| held.holder == most);
        let number = *theirs.min_by_key(|(number, held)| (held.pace.last(), **number))?.0;
        self.take(number)
    }

    fn take(&mut self, number: u64) -> Option<Held> {
        let held = self.held.remove(&number)?;
        self.used -= held.size;
        Some(held)
    }
}

/// An answer in the count, until it is out or dropped.
pub(super) struct Charge {
    budget: Arc<Budget>,
    number: u64,
}

impl Drop for Charge {
    fn drop(&mut self) {
        // Given up it is not there any more.
        self.budget.state.lock().take(self.number);
    }
}
