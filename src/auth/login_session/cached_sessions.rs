//! A cache of login sessions.
//!
//! The cache only admits. A session that is unknown, stale, of another user or expired is looked up in the
//! database. So an extension by another process takes effect, and ids that do not exist do not fill the cache.

use std::{sync::Arc, time::Duration};

use entity::Timestamp;
use prometheus_client::metrics::counter::Counter;
use uuid::Uuid;

use super::{principal::Principal, watch::SessionState};
use crate::{
    cache::{Cache, LookupStart},
    clock::Clock,
};

/// Maximum number of login sessions in the cache.
const CAPACITY: usize = 100_000;

/// The principals of login sessions, by session id.
pub(super) struct CachedSessions(Cache<Uuid, Principal>);

impl CachedSessions {
    pub(super) fn new(life: Duration, counters: [Counter; 2], clock: &Arc<Clock>) -> Self {
        Self(Cache::new(life, CAPACITY, counters, clock))
    }

    /// The principal of a session of this user, if it is cached, else the start of a lookup.
    ///
    /// `changes_seen` must be read before this call. A session that is in the cache now has not changed until now, so
    /// the principal is valid as of then.
    pub(super) fn get(
        &self,
        session: Uuid,
        user: Uuid,
        changes_seen: u64,
    ) -> Result<Principal, LookupStart> {
        let now = Timestamp::now();
        let is_enough = |known: &Principal| known.user_id == user && known.session_expires_at > now;
        self.0.get(&session, is_enough).map(|known| Principal { changes_seen, ..known })
    }

    /// Caches the result of a lookup, unless a session was invalidated since the lookup began.
    pub(super) fn insert(&self, principal: Principal, lookup: LookupStart) {
        self.0.insert(principal.session_id, principal, lookup);
    }

    /// Invalidates a session, unless the cache agrees with its new state. Call this before the streams are
    /// notified. Otherwise a stream could be opened with the old state and not be notified.
    pub(super) fn invalidate_unless(&self, session: Uuid, state: SessionState) {
        self.0.invalidate_unless(&session, |known| {
            let known =
                SessionState::Valid { role: known.role, expires_at: known.session_expires_at };
            known == state
        });
    }

    /// Invalidates all sessions of a user.
    pub(super) fn invalidate_user(&self, user: Uuid) {
        self.0.invalidate_where(|known| known.user_id == user);
    }
}
