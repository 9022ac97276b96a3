//! Slots: a limit of what one user has open at the same time.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use uuid::Uuid;

use super::refused::{Headers, Refused, jittered};

/// The name of the limit of open streams in `RateLimit` headers and metrics.
pub const STREAMS: &str = "streams";
/// The name of the limit of open responses of MCP servers.
pub const RESPONSES: &str = "mcp-responses";
/// The name of the limit of connected tunnel clients.
pub const TUNNELS: &str = "tunnels";

type Open = HashMap<Uuid, u32>;

/// The slots of all users.
pub(super) struct Slots {
    name: &'static str,
    limit: u32,
    message: &'static str,
    open: Arc<Mutex<Open>>,
}

impl Slots {
    /// Every user has `limit` slots, and all are free. `message` is for the client that gets none.
    pub(super) fn new(name: &'static str, limit: u32, message: &'static str) -> Self {
        Self { name, limit, message, open: Arc::default() }
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    pub(super) fn limit(&self) -> u32 {
        self.limit
    }

    /// Takes a slot of `user`, and returns the headers for the response.
    pub(super) fn take(&self, user: Uuid) -> Result<(Slot, Headers), Refused> {
        let mut slots = lock(&self.open);
        let open = slots.entry(user).or_default();
        if *open >= self.limit {
            return Err(Refused {
                limit: self.name,
                message: self.message,
                // A slot becomes free when something closes, so the wait cannot be computed. 5 s prevents retries in a
                // tight loop.
                retry_after: jittered(Duration::from_secs(5)),
                headers: self.headers(0),
            });
        }
        *open += 1;
        let headers = self.headers(self.limit - *open);
        Ok((Slot { user, open: Arc::clone(&self.open) }, headers))
    }

    /// Number of slots that a user has taken.
    pub(super) fn used(&self, user: Uuid) -> u32 {
        lock(&self.open).get(&user).copied().unwrap_or_default()
    }

    /// Number of slots that all users have taken.
    pub(super) fn total(&self) -> u32 {
        lock(&self.open).values().sum()
    }

    /// The users that have taken a slot.
    pub(super) fn users(&self) -> Vec<Uuid> {
        lock(&self.open).keys().copied().collect()
    }

    fn headers(&self, remaining: u32) -> Headers {
        let Self { name, limit, .. } = self;
        Headers {
            policy: format!("\"{name}\";q={limit};qu=\"concurrent-requests\""),
            limit: format!("\"{name}\";r={remaining}"),
        }
    }
}

/// A slot of one user. It is released when this value is dropped.
#[derive(Debug)]
pub struct Slot {
    user: Uuid,
    open: Arc<Mutex<Open>>,
}

impl Slot {
    /// The user that holds the slot.
    #[must_use]
    pub fn user(&self) -> Uuid {
        self.user
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut slots = lock(&self.open);
        if let Some(open) = slots.get_mut(&self.user) {
            *open -= 1;
            if *open == 0 {
                slots.remove(&self.user);
            }
        }
    }
}

/// No code that holds the lock can leave the map half changed, so a panic elsewhere is no reason to stop here.
fn lock(open: &Mutex<Open>) -> MutexGuard<'_, Open> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}
