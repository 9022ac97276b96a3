//! All login sessions.

use std::{collections::HashMap, sync::Arc, time::Duration};

use entity::{Timestamp, login_session, user};
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
    rows::{find, principal, state, valid},
    watch::{Registry, SessionState, Watch},
};
use crate::{clock::Clock, database::Database};

/// Login sessions in one query.
const BATCH: usize = 500;

/// All sessions.
pub struct LoginSessions {
    pub(super) database: Database,
    pub(super) clock: Arc<Clock>,
    pub(super) life: Duration,
    pub(super) known: CachedSessions,
    pub(super) watched: Registry,
}

impl LoginSessions {
    /// `life` is how long a session lasts without a refresh; `heartbeat` how long one that was
    /// looked up is remembered, which the counters count (hits, misses).
    #[must_use]
    pub fn new(
        database: Database,
        life: Duration,
        heartbeat: Duration,
        counters: [Counter; 2],
        clock: &Arc<Clock>,
    ) -> Self {
        let known = CachedSessions::new(heartbeat, counters, clock);
        Self { database, clock: Arc::clone(clock), life, known, watched: Registry::default() }
    }

    /// Lifetime of a login session without a refresh.
    #[must_use]
    pub fn life(&self) -> Duration {
        self.life
    }

    /// Opens a login session for a user whose password was checked. Refuses if the password was changed, or the
    /// user was disabled or deleted, during the check.
    pub async fn open(&self, checked: user::Model) -> Result<SessionGrant, SessionError> {
        let (now, as_of) = (Timestamp::now(), self.watched.announced());
        let tx = self.database.begin_write().await?;
        let user = user::Entity::find_by_id(checked.id).lock_shared().one(&tx).await?;
        let user = user
            .filter(|user| user.password_hash == checked.password_hash && !user.disabled)
            .ok_or(Ended::Revoked)?;
        let session = login_session::Model {
            id: Uuid::now_v7(),
            user_id: user.id,
            created_at: now,
            expires_at: now + self.life,
            revoked_at: None,
        };
        session.clone().into_active_model().insert(&tx).await?;
        let refresh_token = issue(&tx, session.id, now).await?;
        tx.commit().await?;
        Ok(SessionGrant { principal: principal(user, &session, as_of), refresh_token })
    }

    /// The principal of a genuine token: from the cache, or looked up.
    pub async fn validate(&self, session: Uuid, user: Uuid) -> Result<Principal, SessionError> {
        let as_of = self.watched.announced();
        let began = match self.known.get(session, user, as_of) {
            Ok(principal) => return Ok(principal),
            Err(began) => began,
        };
        let (session, owner) =
            find(self.database.reader(), session).await?.ok_or(Ended::Revoked)?;
        if owner.id != user {
            return Err(Ended::Revoked.into());
        }
        valid(&session, &owner)?;
        let principal = principal(owner, &session, as_of);
        self.known.put(principal.clone(), began);
        Ok(principal)
    }

    /// Ends one session and, in this process, its streams.
    pub async fn revoke(&self, session: Uuid) -> Result<(), DbErr> {
        self.mark_revoked(login_session::Column::Id.eq(session)).await?;
        self.session_ended(session);
        Ok(())
    }

    /// Ends all sessions of a user and, in this process, their streams.
    pub async fn revoke_user(&self, user: Uuid) -> Result<(), DbErr> {
        self.mark_revoked(login_session::Column::UserId.eq(user)).await?;
        self.user_ended(user);
        Ok(())
    }

    async fn mark_revoked(&self, which: sea_orm::sea_query::SimpleExpr) -> Result<(), DbErr> {
        login_session::Entity::update_many()
            .col_expr(login_session::Column::RevokedAt, Expr::value(Timestamp::now()))
            .filter(which)
            .filter(login_session::Column::RevokedAt.is_null())
            .exec(self.database.writer())
            .await
            .map(drop)
    }

    /// Tells the streams of a session that it is over.
    pub fn session_ended(&self, session: Uuid) {
        self.announce(session, SessionState::Ended(Ended::Revoked));
    }

    /// Tells the streams of a user that the user may not go on.
    fn user_ended(&self, user: Uuid) {
        self.known.forget_user(user);
        self.watched.announce_to_user(user, SessionState::Ended(Ended::Revoked));
    }

    /// Watches a session for a stream. If a session was revoked since the request was checked, the session is
    /// looked up again.
    pub async fn watch(&self, principal: &Principal) -> Result<Watch, SessionError> {
        let watch = self.watched.add(principal);
        if self.watched.announced() != principal.as_of {
            let now = self.validate(principal.session_id, principal.user_id).await?;
            if now.role < principal.role {
                return Err(Ended::RoleLowered.into());
            }
        }
        Ok(watch)
    }

    /// Waits until a session that is watched stands in another way. For one who waits.
    pub async fn changed(&self) {
        self.watched.changed().await;
    }

    /// Looks up every watched session and tells its streams what has changed.
    pub async fn recheck(&self) -> Result<(), DbErr> {
        self.recheck_these(self.watched.sessions(|_| true)).await
    }

    /// Looks up the watched sessions of one user, after a change made elsewhere.
    pub async fn recheck_user(&self, user: Uuid) -> Result<(), DbErr> {
        self.known.forget_user(user);
        // Also for a stream that is about to be opened and not watched yet.
        self.watched.count_announcement();
        self.recheck_these(self.watched.sessions(|owner| owner == user)).await
    }

    async fn recheck_these(&self, ids: Vec<Uuid>) -> Result<(), DbErr> {
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

    /// Invalidates the cache first, and notifies the streams then: see [`CachedSessions::set_state`].
    pub(super) fn announce(&self, session: Uuid, state: SessionState) {
        self.known.set_state(session, state);
        self.watched.announce(session, state);
    }

    /// Forgets sessions that expired or were revoked before `cutoff`, and the successors of refresh
    /// tokens that cannot be asked for any more.
    pub async fn prune(&self, cutoff: Timestamp) -> Result<u64, DbErr> {
        self.erase_successors().await?;
        let gone = login_session::Entity::delete_many()
            .filter(
                login_session::Column::ExpiresAt
                    .lt(cutoff)
                    .or(login_session::Column::RevokedAt.lt(cutoff)),
            )
            .exec(self.database.writer())
            .await?;
        Ok(gone.rows_affected)
    }
}
