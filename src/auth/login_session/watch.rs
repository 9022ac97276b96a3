//! LoginSessions that have open streams, and how those streams learn that it is over.
//!
//! All streams of a session share one entry, and check it often. The hub waits for [`Registry::changed`].

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

/// State that the streams of one login session share.
struct Watched {
    session: Uuid,
    user: Uuid,
    state: Mutex<SessionState>,
    registry: Registry,
}

impl Watched {
    fn state(&self) -> MutexGuard<'_, SessionState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the state changed.
    fn tell(&self, state: SessionState) -> bool {
        let mut now = self.state();
        // An ended session stays ended, even if an older look-up says otherwise.
        let changed = *now != state && !matches!(*now, SessionState::Ended(_));
        if changed {
            *now = state;
        }
        changed
    }
}

/// A session and how many streams watch it.
type Entry = (Arc<Watched>, usize);

/// All watched sessions.
#[derive(Clone, Default)]
pub(super) struct Registry {
    watched: Arc<Mutex<HashMap<Uuid, Entry>>>,
    /// Counts what was announced.
    announced: Arc<AtomicU64>,
    changed: Arc<Notify>,
}

impl Registry {
    pub(super) fn add(&self, principal: &Principal) -> Watch {
        // The principal was looked up just now. The entry may be as old as its first stream, and a role that
        // was raised since would look like a lowered one.
        let fresh =
            SessionState::Valid { role: principal.role, expires_at: principal.session_expires_at };
        let make = || {
            Arc::new(Watched {
                session: principal.session_id,
                user: principal.user_id,
                state: Mutex::new(fresh),
                registry: self.clone(),
            })
        };
        let mut watched = self.lock();
        let (entry, holders) = watched.entry(principal.session_id).or_insert_with(|| (make(), 0));
        let over = matches!(*entry.state(), SessionState::Ended(_));
        if over {
            // The streams that were told have not all gone yet, and this is a new beginning.
            (*entry, *holders) = (make(), 0);
        }
        *holders += 1;
        if entry.tell(fresh) {
            self.changed.notify_one();
        }
        Watch { watched: Arc::clone(entry), role: principal.role }
    }

    /// Makes every principal that was looked up before look stale.
    pub(super) fn count_announcement(&self) {
        self.announced.fetch_add(1, Ordering::AcqRel);
    }

    /// Number of announcements so far.
    pub(super) fn announced(&self) -> u64 {
        self.announced.load(Ordering::Acquire)
    }

    /// Waits until a watched session stands in another way. For one who waits.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// The sessions of the users in question.
    pub(super) fn sessions(&self, concerns: impl Fn(Uuid) -> bool) -> Vec<Uuid> {
        let watched = self.lock();
        watched.iter().filter(|(_, (entry, _))| concerns(entry.user)).map(|(id, _)| *id).collect()
    }

    /// Tells the streams of a session how it stands.
    pub(super) fn announce(&self, session: Uuid, state: SessionState) {
        self.count_announcement();
        if self.lock().get(&session).is_some_and(|(entry, _)| entry.tell(state)) {
            self.changed.notify_one();
        }
    }

    /// Tells the streams of all sessions of a user.
    pub(super) fn announce_to_user(&self, user: Uuid, state: SessionState) {
        self.count_announcement();
        for (entry, _) in self.lock().values().filter(|(entry, _)| entry.user == user) {
            if entry.tell(state) {
                self.changed.notify_one();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Entry>> {
        // No code that holds the lock can leave the map half changed, so a panic elsewhere is no
        // reason to stop here.
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Holds a session under watch for as long as a stream is open.
pub struct Watch {
    watched: Arc<Watched>,
    /// The role that the stream was opened with.
    role: Role,
}

impl Watch {
    /// The time until which the stream may continue, or the reason why it must end.
    pub fn check(&self, now: Timestamp) -> Result<Timestamp, Ended> {
        match *self.watched.state() {
            SessionState::Ended(ended) => Err(ended),
            SessionState::Valid { role, .. } if role < self.role => Err(Ended::RoleLowered),
            SessionState::Valid { expires_at, .. } if expires_at <= now => Err(Ended::Expired),
            SessionState::Valid { expires_at, .. } => Ok(expires_at),
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut watched = self.watched.registry.lock();
        let session = self.watched.session;
        // Unless a new beginning has taken the place.
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
