//! LoginSessions: who is logged in, and telling open streams when that ends.
//!
//! A token is only as good as its session, which is checked on every request: a revoked session, a
//! disabled user and a lower role count from the next request on. LoginSessions that were looked up not
//! long ago are remembered; whatever ends or changes one in this process, or is heard of by the
//! bus, makes them forgotten at once. A change made elsewhere whose news was lost counts one
//! heartbeat later at the latest. Streams outlive requests, so each holds a [`Watch`]: a revocation
//! made in this process reaches it at once, one made elsewhere with the next [`LoginSessions::recheck`].

mod known;
mod refresh;
mod watch;

use std::{collections::HashMap, sync::Arc, time::Duration};

use entity::{
    Timestamp, session,
    user::{self, Role},
};
use prometheus_client::metrics::counter::Counter;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, ExprTrait, IntoActiveModel,
    QueryFilter, QuerySelect, prelude::Expr,
};
use uuid::Uuid;

use crate::{clock::Clock, database::Database};

pub use refresh::RefreshError;
pub use watch::Watch;

use known::Known;
use refresh::issue;
use watch::{Registry, Standing};

/// How many sessions are looked up in one query.
const BATCH: usize = 500;

/// Who calls.
#[derive(Clone, Debug)]
pub struct Principal {
    /// The user.
    pub user_id: Uuid,
    /// The user's name.
    pub username: String,
    /// What the user may do now, whatever it was at login.
    pub role: Role,
    /// The login that the call belongs to.
    pub session_id: Uuid,
    /// When the session ends unless it is refreshed.
    pub session_expires_at: Timestamp,
    /// How many changes of sessions this process had announced when this was looked up.
    as_of: u64,
}

/// Why a session, or a stream under it, may not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// Its time is over.
    #[error("the login session has expired")]
    Expired,
    /// It was ended: a logout, an administrator, a refresh token that was used twice.
    #[error("the session was revoked")]
    Revoked,
    /// The user may not use the service any more.
    #[error("the user is disabled")]
    UserDisabled,
    /// The user has a lower role than when the stream was opened.
    #[error("the user's role was lowered")]
    RoleLowered,
}

impl Ended {
    /// The word for it in `stream.closed` and in metrics.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Expired => "session_expired",
            Self::Revoked => "session_revoked",
            Self::UserDisabled => "user_disabled",
            Self::RoleLowered => "role_lowered",
        }
    }
}

/// Why a session could not be had.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// It is over, or never was (then it counts as revoked: nobody learns which).
    #[error(transparent)]
    Ended(#[from] Ended),
    /// The database did not say.
    #[error(transparent)]
    Database(#[from] DbErr),
}

/// What a login or a refresh hands out.
#[derive(Debug)]
pub struct Opened {
    /// Who it is.
    pub principal: Principal,
    /// The next refresh token: shown once, stored only as a hash.
    pub refresh_token: String,
}

/// All sessions.
pub struct LoginSessions {
    database: Database,
    clock: Arc<Clock>,
    life: Duration,
    known: Known,
    watched: Registry,
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
        let known = Known::new(heartbeat, counters, clock);
        Self { database, clock: Arc::clone(clock), life, known, watched: Registry::default() }
    }

    /// How long a session lasts without a refresh.
    #[must_use]
    pub fn life(&self) -> Duration {
        self.life
    }

    /// Opens a session for a user whose password has been checked, unless the user has another
    /// password by now, is disabled or gone: checking takes long enough for that.
    pub async fn open(&self, checked: user::Model) -> Result<Opened, SessionError> {
        let (now, as_of) = (Timestamp::now(), self.watched.announced());
        let tx = self.database.begin_write().await?;
        let user = user::Entity::find_by_id(checked.id).lock_shared().one(&tx).await?;
        let user = user
            .filter(|user| user.password_hash == checked.password_hash && !user.disabled)
            .ok_or(Ended::Revoked)?;
        let session = session::Model {
            id: Uuid::now_v7(),
            user_id: user.id,
            created_at: now,
            expires_at: now + self.life,
            revoked_at: None,
        };
        session.clone().into_active_model().insert(&tx).await?;
        let refresh_token = issue(&tx, session.id, now).await?;
        tx.commit().await?;
        Ok(Opened { principal: principal(user, &session, as_of), refresh_token })
    }

    /// Who stands behind the claims of a genuine token: from memory, or looked up.
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
        self.mark_revoked(session::Column::Id.eq(session)).await?;
        self.session_ended(session);
        Ok(())
    }

    /// Ends all sessions of a user and, in this process, their streams.
    pub async fn revoke_user(&self, user: Uuid) -> Result<(), DbErr> {
        self.mark_revoked(session::Column::UserId.eq(user)).await?;
        self.user_ended(user);
        Ok(())
    }

    async fn mark_revoked(&self, which: sea_orm::sea_query::SimpleExpr) -> Result<(), DbErr> {
        session::Entity::update_many()
            .col_expr(session::Column::RevokedAt, Expr::value(Timestamp::now()))
            .filter(which)
            .filter(session::Column::RevokedAt.is_null())
            .exec(self.database.writer())
            .await
            .map(drop)
    }

    /// Tells the streams of a session that it is over.
    pub fn session_ended(&self, session: Uuid) {
        self.announce(session, Standing::Ended(Ended::Revoked));
    }

    /// Tells the streams of a user that the user may not go on.
    fn user_ended(&self, user: Uuid) {
        self.known.forget_user(user);
        self.watched.announce_to_user(user, Standing::Ended(Ended::Revoked));
    }

    /// Watches a session for a stream. If anything was revoked between the request's check and
    /// here, the session is looked up once more, or that could go unnoticed.
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
    pub async fn news(&self) {
        self.watched.news().await;
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
            let rows = session::Entity::find()
                .filter(session::Column::Id.is_in(batch.iter().copied()))
                .find_also_related(user::Entity)
                .all(self.database.reader())
                .await?;
            let mut found: HashMap<Uuid, Standing> = rows
                .into_iter()
                .filter_map(|(session, user)| Some((session.id, standing(&session, &user?))))
                .collect();
            for id in batch {
                let standing = found.remove(id).unwrap_or(Standing::Ended(Ended::Revoked));
                self.announce(*id, standing);
            }
        }
        Ok(())
    }

    /// What has changed is forgotten first, then told: see [`Known::stands`].
    fn announce(&self, session: Uuid, standing: Standing) {
        self.known.stands(session, standing);
        self.watched.announce(session, standing);
    }

    /// Forgets sessions that expired or were revoked before `cutoff`, and the successors of refresh
    /// tokens that cannot be asked for any more.
    pub async fn prune(&self, cutoff: Timestamp) -> Result<u64, DbErr> {
        self.erase_successors().await?;
        let gone = session::Entity::delete_many()
            .filter(session::Column::ExpiresAt.lt(cutoff).or(session::Column::RevokedAt.lt(cutoff)))
            .exec(self.database.writer())
            .await?;
        Ok(gone.rows_affected)
    }
}

fn standing(session: &session::Model, user: &user::Model) -> Standing {
    match valid(session, user) {
        Ok(()) => Standing::Valid { role: user.role, expires_at: session.expires_at },
        Err(ended) => Standing::Ended(ended),
    }
}

fn valid(session: &session::Model, user: &user::Model) -> Result<(), Ended> {
    if user.disabled {
        Err(Ended::UserDisabled)
    } else if session.revoked_at.is_some() {
        Err(Ended::Revoked)
    } else if session.expires_at <= Timestamp::now() {
        Err(Ended::Expired)
    } else {
        Ok(())
    }
}

fn principal(user: user::Model, session: &session::Model, as_of: u64) -> Principal {
    Principal {
        user_id: user.id,
        username: user.username,
        role: user.role,
        session_id: session.id,
        session_expires_at: session.expires_at,
        as_of,
    }
}

async fn find(
    connection: &impl ConnectionTrait,
    session: Uuid,
) -> Result<Option<(session::Model, user::Model)>, DbErr> {
    let row = session::Entity::find_by_id(session)
        .find_also_related(user::Entity)
        .one(connection)
        .await?;
    Ok(row.and_then(|(session, user)| Some((session, user?))))
}
