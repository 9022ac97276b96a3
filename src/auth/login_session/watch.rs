//! Login sessions with open streams, and how these streams learn of a change.
//!
//! All streams of a session share one entry. A background job waits for [`WatchedSessions::changed`], and has the hub
//! check all streams then.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use entity::{Timestamp, user::Role};
use tokio::sync::Notify;
use uuid::Uuid;

use super::{ended::Ended, principal::Principal};

/// State of a watched login session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SessionState {
    Valid { role: Role, expires_at: Timestamp },
    Ended(Ended),
}

/// A login session with open streams. The streams share it.
struct WatchedSession {
    session: Uuid,
    user: Uuid,
    state: Mutex<SessionState>,
    registry: WatchedSessions,
}

impl WatchedSession {
    fn state(&self) -> MutexGuard<'_, SessionState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the state. Returns whether it changed.
    fn set_state(&self, state: SessionState) -> bool {
        let mut now = self.state();
        // An ended session stays ended. An older lookup may still return a valid one.
        let changed = *now != state && !matches!(*now, SessionState::Ended(_));
        if changed {
            *now = state;
        }
        changed
    }
}

/// A session, and the number of streams that watch it.
type CountedSession = (Arc<WatchedSession>, usize);

/// All watched sessions.
#[derive(Clone, Default)]
pub(super) struct WatchedSessions {
    watched: Arc<Mutex<HashMap<Uuid, CountedSession>>>,
    /// Number of announcements so far.
    announced: Arc<AtomicU64>,
    changed: Arc<Notify>,
}

impl WatchedSessions {
    pub(super) fn add(&self, principal: &Principal) -> SessionWatch {
        // The principal was looked up just now. The entry may be older. If the role was raised since, this stream
        // would seem to have lost its role.
        let fresh = SessionState::Valid {
            role: principal.session_role,
            expires_at: principal.session_expires_at,
        };
        let new_entry = || {
            Arc::new(WatchedSession {
                session: principal.session_id,
                user: principal.user_id,
                state: Mutex::new(fresh),
                registry: self.clone(),
            })
        };
        let mut watched = self.lock();
        let (entry, holders) =
            watched.entry(principal.session_id).or_insert_with(|| (new_entry(), 0));
        let is_ended = matches!(*entry.state(), SessionState::Ended(_));
        if is_ended {
            // Not all streams of the ended session are closed yet. The new stream gets a new entry.
            (*entry, *holders) = (new_entry(), 0);
        }
        *holders += 1;
        if entry.set_state(fresh) {
            self.changed.notify_one();
        }
        SessionWatch { watched: Arc::clone(entry), role: principal.role }
    }

    /// Counts an announcement. Principals that were looked up before it are checked again.
    pub(super) fn count_announcement(&self) {
        self.announced.fetch_add(1, Ordering::AcqRel);
    }

    /// Number of announcements so far.
    pub(super) fn change_count(&self) -> u64 {
        self.announced.load(Ordering::Acquire)
    }

    /// Waits until the state of a watched session changes. Only one task may wait.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// The watched sessions of the users that `concerns` accepts.
    pub(super) fn sessions(&self, concerns: impl Fn(Uuid) -> bool) -> Vec<Uuid> {
        let watched = self.lock();
        watched.iter().filter(|(_, (entry, _))| concerns(entry.user)).map(|(id, _)| *id).collect()
    }

    /// Sets the state of a session for its streams.
    pub(super) fn announce(&self, session: Uuid, state: SessionState) {
        self.count_announcement();
        if self.lock().get(&session).is_some_and(|(entry, _)| entry.set_state(state)) {
            self.changed.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, CountedSession>> {
        // No code that holds the lock can leave the map half changed, so a panic elsewhere is no
        // reason to stop here.
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Watches a login session for one open stream.
pub struct SessionWatch {
    watched: Arc<WatchedSession>,
    /// The role that the stream was opened with.
    role: Role,
}

impl SessionWatch {
    /// The time at which the session expires, or the reason why the stream must end.
    pub fn check(&self, now: Timestamp) -> Result<Timestamp, Ended> {
        match *self.watched.state() {
            SessionState::Ended(ended) => Err(ended),
            SessionState::Valid { role, .. } if role < self.role => Err(Ended::RoleLowered),
            SessionState::Valid { expires_at, .. } if expires_at <= now => Err(Ended::Expired),
            SessionState::Valid { expires_at, .. } => Ok(expires_at),
        }
    }
}

impl Drop for SessionWatch {
    fn drop(&mut self) {
        let mut watched = self.watched.registry.lock();
        let session = self.watched.session;
        // A new entry may have replaced this one.
        if let Some((entry, holders)) = watched.get_mut(&session)
            && Arc::ptr_eq(entry, &self.watched)
        {
            *holders -= 1;
            if *holders == 0 {
                watched.remove(&session);
            }
        }
    }
}
