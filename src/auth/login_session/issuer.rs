//! Login sessions of external issuers.
//!
//! A session has the tokens of one user with one `sid`, or all tokens of the user without a `sid`. Its id is computed from
//! both, so that two first requests cannot create two sessions. The newest token, which is the one that expires last,
//! decides when the session ends and which role it has.
//!
//! A revoked session refuses all of its tokens until the last one has expired, also newer ones. Without a `sid`, it
//! refuses the tokens that were issued before the revocation.

use aws_lc_rs::digest::{Context, SHA256};
use entity::{
    Timestamp,
    login_session::{self, Method},
    user::{self, Role},
};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, Condition, DbErr, EntityTrait,
    IntoActiveModel, QueryFilter, QuerySelect, SqlErr, prelude::Expr,
};
use uuid::{Builder, Uuid};

use super::{
    ended::{Ended, SessionError},
    rows::{find, role},
    sessions::LoginSessions,
    watch::SessionState,
};

/// A verified token of an external issuer.
#[derive(Clone, Copy, Debug)]
pub struct IssuerToken<'a> {
    /// Id of the user.
    pub user: Uuid,
    /// The issuer.
    pub issuer: &'a str,
    /// The `sid` claim, or empty.
    pub sid: &'a str,
    /// Time at which the token was issued.
    pub issued_at: Timestamp,
    /// Time at which the token expires.
    pub expires_at: Timestamp,
    /// The role of the token.
    pub role: Role,
}

impl IssuerToken<'_> {
    /// Whether the token was issued before this revocation, or in the same second.
    fn is_before(&self, revocation: Option<Timestamp>) -> bool {
        revocation.is_some_and(|revocation| self.issued_at <= revocation)
    }
}

impl LoginSessions {
    /// Creates the session of this token, or prolongs it. Returns the id of the session, and whether its role has
    /// changed.
    ///
    /// # Errors
    /// [`SessionError::Ended`] with [`Ended::Revoked`] if the session was revoked, or if the user was deleted.
    pub async fn admit(&self, token: &IssuerToken<'_>) -> Result<(Uuid, bool), SessionError> {
        let id = session_id(token);
        // Most tokens change nothing, so they need no lock.
        let known = find(self.database.reader(), id).await?;
        if known.is_some_and(|(session, user)| is_unchanged(&session, &user, token)) {
            return Ok((id, false));
        }
        let has_new_role = self.update_role(token).await?;
        let admitted = match self.update_or_insert(id, token).await {
            // Another request inserted the row at the same time.
            Err(SessionError::Database(error)) if is_conflict(&error) => {
                self.update_or_insert(id, token).await
            }
            result => result,
        };
        if has_new_role {
            self.recheck_user(token.user).await?;
        }
        admitted.map(|(id, is_changed)| (id, is_changed || has_new_role))
    }

    /// Keeps the role of the user's newest token. Returns whether it has changed.
    async fn update_role(&self, token: &IssuerToken<'_>) -> Result<bool, DbErr> {
        let known = user::Entity::find_by_id(token.user).one(self.database.reader()).await?;
        let needs_no_update = |user: user::Model| {
            has_newest_role(&user, token) || token.is_before(user.revoked_before)
        };
        if known.is_none_or(needs_no_update) {
            return Ok(false);
        }
        let updated = user::Entity::update_many()
            .col_expr(user::Column::IssuerRole, Expr::value(token.role))
            .col_expr(user::Column::IssuerRoleAt, Expr::value(token.issued_at))
            .filter(user::Column::Id.eq(token.user))
            .filter(
                Condition::any()
                    .add(user::Column::IssuerRoleAt.is_null())
                    .add(user::Column::IssuerRoleAt.lt(token.issued_at)),
            )
            .exec(self.database.writer());
        Ok(updated.await?.rows_affected == 1)
    }

    async fn update_or_insert(
        &self,
        id: Uuid,
        token: &IssuerToken<'_>,
    ) -> Result<(Uuid, bool), SessionError> {
        let tx = self.database.begin_write().await?;
        // In the same order as when a user is deleted.
        let user = user::Entity::find_by_id(token.user).lock_shared().one(&tx).await?;
        let user = user.ok_or(Ended::Revoked)?;
        if token.is_before(user.revoked_before) {
            return Err(Ended::Revoked.into());
        }
        let row = login_session::Entity::find_by_id(id).lock_exclusive().one(&tx).await?;
        let Some(row) = row else {
            new_session(id, token).into_active_model().insert(&tx).await?;
            tx.commit().await?;
            return Ok((id, false));
        };
        let is_newest = token.expires_at >= row.expires_at;
        let (has_new_role, mut revoked_before) = (row.role != Some(token.role), row.revoked_before);
        let mut changed = row.clone().into_active_model();
        if let Some(revoked_at) = row.revoked_at {
            let is_over = token.sid.is_empty() || row.ends_at <= Timestamp::now();
            if !is_over || token.issued_at <= revoked_at {
                if token.expires_at >= row.ends_at {
                    // The session stays revoked until this token has expired too.
                    (changed.expires_at, changed.ends_at) =
                        (Set(token.expires_at), Set(token.expires_at));
                    changed.update(&tx).await?;
                    tx.commit().await?;
                }
                return Err(Ended::Revoked.into());
            }
            revoked_before = Some(revoked_at);
            changed.revoked_at = Set(None);
            changed.revoked_before = Set(revoked_before);
        }
        if token.is_before(revoked_before) {
            return Err(Ended::Revoked.into());
        }
        if !is_newest && row.revoked_at.is_none() {
            return Ok((id, false));
        }
        // The row outlives the tokens that were revoked. The session ends with the newest token.
        changed.expires_at = Set(token.expires_at);
        changed.ends_at = Set(token.expires_at.max(row.ends_at));
        changed.role = Set(Some(token.role));
        let session = changed.update(&tx).await?;
        tx.commit().await?;
        let state =
            SessionState::Valid { role: role(&session, &user), expires_at: session.expires_at };
        self.announce(id, state);
        Ok((id, has_new_role))
    }
}

/// Whether the row admits this token without a change.
fn is_unchanged(
    session: &login_session::Model,
    user: &user::Model,
    token: &IssuerToken<'_>,
) -> bool {
    let is_covered = token.expires_at < session.expires_at
        || (token.expires_at == session.expires_at && session.role == Some(token.role));
    let is_revoked = session.revoked_at.is_some()
        || token.is_before(session.revoked_before)
        || token.is_before(user.revoked_before);
    is_covered && !is_revoked && has_newest_role(user, token)
}

/// Whether the user has the role of this token, or of a newer one.
fn has_newest_role(user: &user::Model, token: &IssuerToken<'_>) -> bool {
    let is_same = user.issuer_role == Some(token.role);
    user.issuer_role_at.is_some_and(|at| is_same || token.issued_at <= at)
}

fn new_session(id: Uuid, token: &IssuerToken<'_>) -> login_session::Model {
    login_session::Model {
        id,
        user_id: token.user,
        created_at: Timestamp::now(),
        expires_at: token.expires_at,
        revoked_at: None,
        revoked_before: None,
        method: Method::Issuer,
        role: Some(token.role),
        families: None,
        ends_at: token.expires_at,
        issuer: Some(token.issuer.to_owned()),
        issuer_session: (!token.sid.is_empty()).then(|| token.sid.to_owned()),
    }
}

/// The id of the session of this token: a hash of the user and the `sid`, as a UUID version 8 (RFC 9562, section 5.8).
fn session_id(token: &IssuerToken<'_>) -> Uuid {
    let mut hash = Context::new(&SHA256);
    hash.update(token.user.as_bytes());
    hash.update(token.sid.as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.finish().as_ref()[..16]);
    Builder::from_custom_bytes(bytes).into_uuid()
}

fn is_conflict(error: &DbErr) -> bool {
    matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_)))
}
