//! The sessions that were looked up not long ago.
//!
//! Memory only ever lets in: what is unknown, stale, of somebody else or past its end is looked up,
//! and what the database says is the answer. So a session that another process prolonged is good,
//! and one that never was costs a look-up each time instead of room.

use std::{sync::Arc, time::Duration};

use entity::Timestamp;
use prometheus_client::metrics::counter::Counter;
use uuid::Uuid;

use super::{principal::Principal, watch::Standing};
use crate::{
    cache::{Cache, LookupStart},
    clock::Clock,
};

/// How many sessions are remembered.
const CAPACITY: usize = 100_000;

/// Who stands behind a session, by its id.
pub(super) struct Known(Cache<Uuid, Principal>);

impl Known {
    pub(super) fn new(life: Duration, counters: [Counter; 2], clock: &Arc<Clock>) -> Self {
        Self(Cache::new(life, CAPACITY, counters, clock))
    }

    /// Who stands behind a session of this user, if that is known; else the beginning of a look-up.
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
    pub(super) fn stands(&self, session: Uuid, standing: Standing) {
        self.0.invalidate_unless(&session, |known| {
            let known = Standing::Valid { role: known.role, expires_at: known.session_expires_at };
            known == standing
        });
    }

    /// A user was changed, or all sessions of it ended.
    pub(super) fn forget_user(&self, user: Uuid) {
        self.0.invalidate_where(|known| known.user_id == user);
    }
}
