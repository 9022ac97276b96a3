//! Creates, validates and revokes login sessions.

use std::{collections::HashMap, sync::Arc, time::Duration};

use entity::{
    Timestamp,
    login_session::{self, Method},
    user,
};
use prometheus_client::metrics::counter::Counter;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, DbErr, EntityTrait, ExprTrait, IntoActiveModel, QueryFilter,
    QuerySelect, prelude::Expr,
};
use uuid::Uuid;

use super::{
    cached_sessions::CachedSessions,
    ended::{Ended, SessionError},
    principal::{Principal, SessionGrant},
    refresh_token::issue,
    rows::{find, mark_revoked, principal, revoke_sessions, state, valid},
    watch::{SessionState, SessionWatch, WatchedSessions},
};
use crate::{cache::Cache, clock::Clock, database::Database};

/// Maximum number of names from proxies in the cache.
const CAPACITY: usize = 100_000;

/// Maximum number of login sessions in one query.
const BATCH: usize = 500;

/// The lifetimes of login sessions.
#[derive(Clone, Copy, Debug)]
pub struct Lifetimes {
    /// Lifetime of a session without a refresh.
    pub life: Duration,
    /// Lifetime of a session with any number of refreshes.
    pub longest: Duration,
    /// Time before the end of a session at which its streams announce the end.
    pub notice: Duration,
}

/// The login sessions in the database, a cache of them, and those with open streams.
pub struct LoginSessions {
    pub(super) database: Database,
    pub(super) clock: Arc<Clock>,
    pub(super) life: Duration,
    pub(super) longest: Duration,
    notice: Duration,
    pub(super) cache: CachedSessions,
    /// The session and the user of names that a proxy sent.
    pub(super) proxy_sessions: Cache<Arc<str>, (Uuid, Uuid)>,
    pub(super) watched: WatchedSessions,
}

impl LoginSessions {
    /// `heartbeat` is the time for which a looked-up session stays in the cache. The counters count hits and misses of the
    /// caches of sessions and of names from proxies.
    #[must_use]
    pub fn new(
        database: Database,
        Lifetimes { life, longest, notice }: Lifetimes,
        heartbeat: Duration,
        [counters, proxy_counters]: [[Counter; 2]; 2],
        clock: &Arc<Clock>,
    ) -> Self {
        let cache = CachedSessions::new(heartbeat, counters, clock);
        let proxy_sessions = Cache::new(heartbeat, CAPACITY, proxy_counters, clock);
        Self {
            database,
            clock: Arc::clone(clock),
            life,
            longest,
            notice,
            cache,
            proxy_sessions,
            watched: WatchedSessions::default(),
        }
    }

    /// Lifetime of a login session without a refresh.
    #[must_use]
    pub fn life(&self) -> Duration {
        self.life
    }

    /// Creates a login session for a user whose password was checked.
    ///
    /// # Errors
    /// [`SessionError::Ended`] with [`Ended::Revoked`] if the password was changed, or the user was disabled or
    /// deleted, during the check of the password.
    pub async fn create(&self, checked: user::Model) -> Result<SessionGrant, SessionError> {
        let (now, changes_seen) = (Timestamp::now(), self.watched.change_count());
        let tx = self.database.begin_write().await?;
        let user = user::Entity::find_by_id(checked.id).lock_shared().one(&tx).await?;
        let user = user
            .filter(|user| user.password_hash == checked.password_hash && !user.disabled)
            .ok_or(Ended::Revoked)?;
        let session = login_session::Model {
            id: Uuid::now_v7(),
            user_id: user.id,
            created_at: now,
            expires_at: now + self.life.min(self.longest),
            revoked_at: None,
            revoked_before: None,
            method: Method::Password,
            role: None,
            families: None,
            ends_at: now + self.longest,
            issuer: None,
            issuer_session: None,
        };
        session.clone().into_active_model().insert(&tx).await?;
        let refresh_token = issue(&tx, session.id, now).await?;
        tx.commit().await?;
        Ok(SessionGrant { principal: principal(user, &session, changes_seen), refresh_token })
    }

    /// The principal of a verified token, from the cache or from the database.
    ///
    /// # Errors
    /// [`SessionError::Ended`] with
    /// - [`Ended::Revoked`] if the session was revoked, does not exist, or belongs to another user.
    /// - [`Ended::UserDisabled`] if the user is disabled.
    /// - [`Ended::Expired`] if the session was not refreshed in time.
    pub async fn validate(&self, session: Uuid, user: Uuid) -> Result<Principal, SessionError> {
        let changes_seen = self.watched.change_count();
        let lookup = match self.cache.get(session, user, changes_seen) {
            Ok(principal) => return Ok(principal),
            Err(lookup) => lookup,
        };
        let (session, owner) =
            find(self.database.reader(), session).await?.ok_or(Ended::Revoked)?;
        if owner.id != user {
            return Err(Ended::Revoked.into());
        }
        valid(&session, &owner)?;
        let principal = principal(owner, &session, changes_seen);
        self.cache.insert(principal.clone(), lookup);
        Ok(principal)
    }

    /// Extends a session that was used, if a tenth of its lifetime has passed since it was extended, or if it ends soon. So
    /// a busy session is not written with every request. If the database accepts no writes, the session stays as it is, and the next
    /// request tries again.
    pub async fn extend(&self, principal: &mut Principal) {
        let until = Ord::min(Timestamp::now() + self.life, principal.session_ends_at);
        // A session whose streams have announced its end is always extended.
        let now = Timestamp::now();
        let is_ending = principal.session_expires_at.since(now) <= self.notice;
        let longer = until.since(principal.session_expires_at);
        if longer.is_zero() || (longer < self.life / 10 && !is_ending) {
            return;
        }
        let extended = login_session::Entity::update_many()
            .col_expr(login_session::Column::ExpiresAt, Expr::value(until))
            .filter(login_session::Column::Id.eq(principal.session_id))
            .filter(login_session::Column::RevokedAt.is_null())
            .filter(login_session::Column::ExpiresAt.lt(until))
            .exec(self.database.writer())
            .await;
        match extended {
            // Another request was faster, or the session was revoked.
            Ok(result) if result.rows_affected == 0 => {}
            Ok(_) => {
                principal.session_expires_at = until;
                let state = SessionState::Valid { role: principal.role, expires_at: until };
                self.announce(principal.session_id, state);
            }
            Err(error) => tracing::warn!(%error, "a login session was not extended"),
        }
    }

    /// Revokes one session. Ends its streams in this process.
    pub async fn revoke(&self, session: Uuid) -> Result<(), DbErr> {
        mark_revoked(self.database.writer(), login_session::Column::Id.eq(session)).await?;
        self.session_ended(session);
        Ok(())
    }

    /// Revokes all sessions of a user, except those of API keys. Ends their streams in this process. Tokens of an external
    /// issuer from before are refused from now on, and authorizations that have begun end.
    pub async fn revoke_user(&self, user: Uuid) -> Result<(), DbErr> {
        let tx = self.database.begin_write().await?;
        revoke_sessions(&tx, user).await?;
        tx.commit().await?;
        self.recheck_user(user).await
    }

    /// Ends the streams of a session, which another process revoked.
    pub fn session_ended(&self, session: Uuid) {
        self.announce(session, SessionState::Ended(Ended::Revoked));
    }

    /// Watches a session for a stream. If any session has changed since the request was authenticated, the session
    /// is looked up again.
    ///
    /// # Errors
    /// If the session is looked up again, those of [`Self::validate`]. Also [`SessionError::Ended`] with
    /// [`Ended::RoleLowered`] if the user has a lower role now than in `principal`.
    pub async fn watch(&self, principal: &Principal) -> Result<SessionWatch, SessionError> {
        let watch = self.watched.add(principal);
        if self.watched.change_count() != principal.changes_seen {
            let now = self.validate(principal.session_id, principal.user_id).await?;
            if now.role < principal.role {
                return Err(Ended::RoleLowered.into());
            }
        }
        Ok(watch)
    }

    /// Waits until the state of a watched session changes. Only one task may wait.
    pub async fn changed(&self) {
        self.watched.changed().await;
    }

    /// Looks up every watched session, and updates its streams.
    pub async fn recheck(&self) -> Result<(), DbErr> {
        self.recheck_sessions(self.watched.sessions(|_| true)).await
    }

    /// Looks up the watched sessions of one user, after a change made elsewhere.
    pub async fn recheck_user(&self, user: Uuid) -> Result<(), DbErr> {
        self.cache.invalidate_user(user);
        // For streams that are being opened and hold no watch yet.
        self.watched.count_announcement();
        self.recheck_sessions(self.watched.sessions(|owner| owner == user)).await
    }

    async fn recheck_sessions(&self, ids: Vec<Uuid>) -> Result<(), DbErr> {
        for batch in ids.chunks(BATCH) {
            let rows = login_session::Entity::find()
                .filter(login_session::Column::Id.is_in(batch.iter().copied()))
                .find_also_related(user::Entity)
                .all(self.database.reader())
                .await?;
            let mut found: HashMap<Uuid, SessionState> = rows
                .into_iter()
                .filter_map(|(session, user)| Some((session.id, state(&session, &user?))))
                .collect();
            for id in batch {
                let state = found.remove(id).unwrap_or(SessionState::Ended(Ended::Revoked));
                self.announce(*id, state);
            }
        }
        Ok(())
    }

    /// Invalidates the cache first, then updates the streams. See [`CachedSessions::invalidate_unless`].
    pub(super) fn announce(&self, session: Uuid, state: SessionState) {
        self.cache.invalidate_unless(session, state);
        self.watched.announce(session, state);
    }

    /// Deletes sessions that expired or were revoked before `cutoff`. A session of an external issuer stays until its tokens
    /// have expired, because it says which of them are revoked. Also erases the successors of refresh tokens whose grace
    /// has ended. Returns the number of deleted sessions.
    pub async fn prune(&self, cutoff: Timestamp) -> Result<u64, DbErr> {
        use login_session::Column;
        self.erase_successors().await?;
        let is_over = Column::ExpiresAt.lt(cutoff).or(Column::RevokedAt.lt(cutoff));
        let tokens_are_over = Column::Method.ne(Method::Issuer).or(Column::EndsAt.lt(cutoff));
        let deleted = login_session::Entity::delete_many()
            .filter(is_over.and(tokens_are_over))
            .exec(self.database.writer())
            .await?;
        Ok(deleted.rows_affected)
    }
}
