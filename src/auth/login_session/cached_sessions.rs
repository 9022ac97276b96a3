//! The sessions that were looked up not long ago.
//!
//! The cache only admits. A session that is unknown, stale, of another user or expired is looked up in the
//! database. So a session that another process prolonged is good, and one that never was costs a look-up each
//! time instead of room.

use std::{sync::Arc, time::Duration};

use entity::Timestamp;
use prometheus_client::metrics::counter::Counter;
use uuid::Uuid;

use super::{principal::Principal, watch::SessionState};
use crate::{
    cache::{Cache, LookupStart},
    clock::Clock,
};

/// Login sessions in the cache, at most.
const CAPACITY: usize = 100_000;

/// The principals of login sessions, by session id.
pub(super) struct CachedSessions(Cache<Uuid, Principal>);

impl CachedSessions {
    pub(super) fn new(life: Duration, counters: [Counter; 2], clock: &Arc<Clock>) -> Self {
        Self(Cache::new(life, CAPACITY, counters, clock))
    }

    /// The principal of a session of this user, if it is cached, else the start of a look-up.
    ///
    /// `as_of` must have been read before: what is in memory now has not changed until now, so who
    /// is found here was found as of then.
    pub(super) fn get(
        &self,
        session: Uuid,
        user: Uuid,
        as_of: u64,
    ) -> Result<Principal, LookupStart> {
        let now = Timestamp::now();
        let is_enough = |known: &Principal| known.user_id == user && known.session_expires_at > now;
        self.0.get(&session, is_enough).map(|known| Principal { as_of, ..known })
    }

    /// Remembers the answer of a look-up, unless a session was ended or changed since it began.
    pub(super) fn put(&self, principal: Principal, began: LookupStart) {
        self.0.insert(principal.session_id, principal, began);
    }

    /// A session stands like this now. To be told before the streams are: who opens one later must
    /// not be let in by what was true before.
    pub(super) fn set_state(&self, session: Uuid, state: SessionState) {
        self.0.invalidate_unless(&session, |known| {
            let known =
                SessionState::Valid { role: known.role, expires_at: known.session_expires_at };
            known == state
        });
    }

    /// A user was changed, or all sessions of it ended.
    pub(super) fn forget_user(&self, user: Uuid) {
        self.0.invalidate_where(|known| known.user_id == user);
    }
}
