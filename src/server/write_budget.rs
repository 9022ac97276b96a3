//! The write budget: bytes of responses that wait for their clients to read them, over all connections.
//!
//! Above the limit, the budget aborts responses. It chooses the client with the most unread bytes. Of that client's
//! responses, it chooses the one without progress for the longest time. So a client that reads is always served. The
//! unread responses of one client never displace those of a client that has fewer unread bytes.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use uuid::Uuid;

use super::write_progress::WriteProgress;
use crate::telemetry::Telemetry;

/// The client that a response is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Client {
    User(Uuid),
    /// A client that has not authenticated.
    Address(IpAddr),
}

/// The write budget, see the module's documentation.
pub(super) struct WriteBudget {
    limit: usize,
    telemetry: Arc<Telemetry>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    used: usize,
    last_number: u64,
    responses: HashMap<u64, Unread>,
}

/// A response that waits to be read.
struct Unread {
    client: Client,
    size: usize,
    progress: Arc<WriteProgress>,
}

impl WriteBudget {
    pub(super) fn new(limit: usize, telemetry: Arc<Telemetry>) -> Arc<Self> {
        Arc::new(Self { limit, telemetry, state: Mutex::default() })
    }

    /// Reserves `size` bytes for a response, and aborts other responses if the limit requires it.
    ///
    /// A response that is larger than the whole limit is still reserved, after all others are aborted.
    pub(super) fn reserve(
        self: &Arc<Self>,
        client: Client,
        size: usize,
        progress: &Arc<WriteProgress>,
    ) -> Reservation {
        let mut state = self.state.lock();
        while state.used + size > self.limit {
            let Some(evicted) = state.evict() else { break };
            self.telemetry.response_aborted("unread_bytes");
            evicted.progress.abort();
        }
        state.used += size;
        state.last_number += 1;
        let number = state.last_number;
        state.responses.insert(number, Unread { client, size, progress: Arc::clone(progress) });
        Reservation { budget: Arc::clone(self), number }
    }
}

impl State {
    /// Removes the response that is to be aborted.
    fn evict(&mut self) -> Option<Unread> {
        let mut totals = HashMap::<Client, usize>::new();
        for unread in self.responses.values() {
            *totals.entry(unread.client).or_default() += unread.size;
        }
        let largest = totals.into_iter().max_by_key(|(_, total)| *total)?.0;
        let candidates = self.responses.iter().filter(|(_, unread)| unread.client == largest);
        let oldest = candidates.min_by_key(|(number, unread)| (unread.progress.last(), **number));
        let number = *oldest?.0;
        self.remove(number)
    }

    fn remove(&mut self, number: u64) -> Option<Unread> {
        let unread = self.responses.remove(&number)?;
        self.used -= unread.size;
        Some(unread)
    }
}

/// Bytes of a response in the budget, until it is sent or dropped.
pub(super) struct Reservation {
    budget: Arc<WriteBudget>,
    number: u64,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        // An aborted response is already removed.
        self.budget.state.lock().remove(self.number);
    }
}
