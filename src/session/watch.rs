//! Sessions that have open streams, and the way to tell those streams.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use entity::{Timestamp, user::Role};
use tokio::sync::watch;
use uuid::Uuid;

use super::{Ended, Principal};

/// How a watched session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Valid { role: Role, expires_at: Timestamp },
    Ended(Ended),
}

struct Watched {
    user_id: Uuid,
    standing: watch::Sender<Standing>,
    holders: usize,
}

impl Watched {
    fn tell(&self, standing: Standing) {
        self.standing.send_if_modified(|now| {
            // What has ended stays so, whatever an older look at the database says.
            let news = *now != standing && !matches!(now, Standing::Ended(_));
            if news {
                *now = standing;
            }
            news
        });
    }
}

/// All watched sessions.
#[derive(Clone, Default)]
pub(super) struct Registry {
    watched: Arc<Mutex<HashMap<Uuid, Watched>>>,
    /// Counts what was announced.
    announced: Arc<AtomicU64>,
}

impl Registry {
    pub(super) fn add(&self, principal: &Principal) -> Watch {
        let mut watched = self.lock();
        let entry = watched.entry(principal.session_id).or_insert_with(|| Watched {
            user_id: principal.user_id,
            standing: watch::Sender::new(Standing::Valid {
                role: principal.role,
                expires_at: principal.session_expires_at,
            }),
            holders: 0,
        });
        entry.holders += 1;
        // The principal was looked up just now; what the entry says may be as old as its first
        // stream, and a role that was raised since would look like one that was lowered.
        let fresh =
            Standing::Valid { role: principal.role, expires_at: principal.session_expires_at };
        if matches!(*entry.standing.borrow(), Standing::Ended(_)) {
            // The streams that were told have not all gone yet, and this is a new beginning.
            entry.standing = watch::Sender::new(fresh);
        }
        entry.tell(fresh);
        Watch {
            session: principal.session_id,
            role: principal.role,
            standing: entry.standing.subscribe(),
            registry: self.clone(),
        }
    }

    /// Makes every principal that was looked up before look stale.
    pub(super) fn count_announcement(&self) {
        self.announced.fetch_add(1, Ordering::AcqRel);
    }

    /// How often anything was announced.
    pub(super) fn announced(&self) -> u64 {
        self.announced.load(Ordering::Acquire)
    }

    /// The sessions of the users in question.
    pub(super) fn sessions(&self, concerns: impl Fn(Uuid) -> bool) -> Vec<Uuid> {
        let watched = self.lock();
        watched.iter().filter(|(_, entry)| concerns(entry.user_id)).map(|(id, _)| *id).collect()
    }

    /// Tells the streams of a session how it stands.
    pub(super) fn announce(&self, session: Uuid, standing: Standing) {
        self.count_announcement();
        if let Some(entry) = self.lock().get(&session) {
            entry.tell(standing);
        }
    }

    /// Tells the streams of all sessions of a user.
    pub(super) fn announce_to_user(&self, user: Uuid, standing: Standing) {
        self.count_announcement();
        for entry in self.lock().values().filter(|entry| entry.user_id == user) {
            entry.tell(standing);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Watched>> {
        // No code that holds the lock can leave the map half changed, so a panic elsewhere is no
        // reason to stop here.
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Holds a session under watch for as long as a stream is open.
pub struct Watch {
    session: Uuid,
    /// The role that the stream was opened with.
    role: Role,
    standing: watch::Receiver<Standing>,
    registry: Registry,
}

impl Watch {
    /// Waits until the stream may not go on, and says why.
    pub async fn ended(&mut self) -> Ended {
        loop {
            let standing = *self.standing.borrow_and_update();
            let left = match standing {
                Standing::Ended(ended) => return ended,
                Standing::Valid { role, .. } if role < self.role => return Ended::RoleLowered,
                Standing::Valid { expires_at, .. } => expires_at.since(Timestamp::now()),
            };
            if left.is_zero() {
                return Ended::Expired;
            }
            tokio::select! {
                () = tokio::time::sleep(left) => {}
                changed = self.standing.changed() => {
                    if changed.is_err() {
                        return Ended::Revoked;
                    }
                }
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut watched = self.registry.lock();
        if let Some(entry) = watched.get_mut(&self.session) {
            entry.holders -= 1;
            if entry.holders == 0 {
                watched.remove(&self.session);
            }
        }
    }
}
