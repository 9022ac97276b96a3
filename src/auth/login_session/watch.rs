//! LoginSessions that have open streams, and how those streams learn that it is over.
//!
//! All streams of a session share one entry, and look at it whenever they are looked at. Whoever
//! looks at them waits for [`Registry::news`].

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

/// How a watched session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Valid { role: Role, expires_at: Timestamp },
    Ended(Ended),
}

/// What the streams of one session share.
struct Watched {
    session: Uuid,
    user: Uuid,
    standing: Mutex<Standing>,
    registry: Registry,
}

impl Watched {
    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether that was news.
    fn tell(&self, standing: Standing) -> bool {
        let mut now = self.standing();
        // What has ended stays so, whatever an older look at the database says.
        let news = *now != standing && !matches!(*now, Standing::Ended(_));
        if news {
            *now = standing;
        }
        news
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
    news: Arc<Notify>,
}

impl Registry {
    pub(super) fn add(&self, principal: &Principal) -> Watch {
        // The principal was looked up just now; what the entry says may be as old as its first
        // stream, and a role that was raised since would look like one that was lowered.
        let fresh =
            Standing::Valid { role: principal.role, expires_at: principal.session_expires_at };
        let make = || {
            Arc::new(Watched {
                session: principal.session_id,
                user: principal.user_id,
                standing: Mutex::new(fresh),
                registry: self.clone(),
            })
        };
        let mut watched = self.lock();
        let (entry, holders) = watched.entry(principal.session_id).or_insert_with(|| (make(), 0));
        let over = matches!(*entry.standing(), Standing::Ended(_));
        if over {
            // The streams that were told have not all gone yet, and this is a new beginning.
            (*entry, *holders) = (make(), 0);
        }
        *holders += 1;
        if entry.tell(fresh) {
            self.news.notify_one();
        }
        Watch { watched: Arc::clone(entry), role: principal.role }
    }

    /// Makes every principal that was looked up before look stale.
    pub(super) fn count_announcement(&self) {
        self.announced.fetch_add(1, Ordering::AcqRel);
    }

    /// How often anything was announced.
    pub(super) fn announced(&self) -> u64 {
        self.announced.load(Ordering::Acquire)
    }

    /// Waits until a watched session stands in another way. For one who waits.
    pub(super) async fn news(&self) {
        self.news.notified().await;
    }

    /// The sessions of the users in question.
    pub(super) fn sessions(&self, concerns: impl Fn(Uuid) -> bool) -> Vec<Uuid> {
        let watched = self.lock();
        watched.iter().filter(|(_, (entry, _))| concerns(entry.user)).map(|(id, _)| *id).collect()
    }

    /// Tells the streams of a session how it stands.
    pub(super) fn announce(&self, session: Uuid, standing: Standing) {
        self.count_announcement();
        if self.lock().get(&session).is_some_and(|(entry, _)| entry.tell(standing)) {
            self.news.notify_one();
        }
    }

    /// Tells the streams of all sessions of a user.
    pub(super) fn announce_to_user(&self, user: Uuid, standing: Standing) {
        self.count_announcement();
        for (entry, _) in self.lock().values().filter(|(entry, _)| entry.user == user) {
            if entry.tell(standing) {
                self.news.notify_one();
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
    /// Until when the stream may go on, as far as is known, or why it may not.
    pub fn standing(&self, now: Timestamp) -> Result<Timestamp, Ended> {
        match *self.watched.standing() {
            Standing::Ended(ended) => Err(ended),
            Standing::Valid { role, .. } if role < self.role => Err(Ended::RoleLowered),
            Standing::Valid { expires_at, .. } if expires_at <= now => Err(Ended::Expired),
            Standing::Valid { expires_at, .. } => Ok(expires_at),
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
