//! Reads the rows of login sessions.

use entity::{
    Timestamp,
    login_session::{self, Method},
    oauth_authorization,
    user::{self, Role},
};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, ExprTrait, QueryFilter, prelude::Expr,
};
use uuid::Uuid;

use super::{ended::Ended, families::Families, principal::Principal, watch::SessionState};
use crate::database::Transaction;

pub(super) fn state(session: &login_session::Model, user: &user::Model) -> SessionState {
    match valid(session, user) {
        Ok(()) => SessionState::Valid { role: role(session, user), expires_at: session.expires_at },
        Err(ended) => SessionState::Ended(ended),
    }
}

/// The lower one of the user's role and the session's highest role. For the API key of a user of an external issuer, also
/// not higher than the role of the newest token.
pub(super) fn role(session: &login_session::Model, user: &user::Model) -> Role {
    let of_key = user.issuer_role.filter(|_| session.method == Method::ApiKey);
    let highest = [session.role, of_key].into_iter().flatten();
    highest.fold(user.role, Ord::min)
}

/// Tokens of an external issuer for this session that were issued before this time are refused.
fn revoked_before(session: &login_session::Model, user: &user::Model) -> Option<Timestamp> {
    // An own session that was revoked never becomes valid again, so nothing issued in it does.
    let is_external = session.method == Method::Issuer;
    Ord::max(session.revoked_before, user.revoked_before).filter(|_| is_external)
}

pub(super) async fn mark_revoked(
    connection: &impl ConnectionTrait,
    which: Expr,
) -> Result<(), DbErr> {
    login_session::Entity::update_many()
        .col_expr(login_session::Column::RevokedAt, Expr::value(Timestamp::now()))
        .filter(which)
        .filter(login_session::Column::RevokedAt.is_null())
        .exec(connection)
        .await
        .map(drop)
}

/// Revokes all sessions of a user, except those of API keys. Tokens of an external issuer from before are refused from
/// now on, also those that were not used yet. Authorizations at OAuth providers that have begun end too, because the
/// person who began them may not be the user.
pub(in crate::auth) async fn revoke_sessions(tx: &Transaction, user: Uuid) -> Result<(), DbErr> {
    // The row of the user first, in the same order as other transactions.
    user::Entity::update_many()
        .col_expr(user::Column::RevokedBefore, Expr::value(Timestamp::now()))
        .filter(user::Column::Id.eq(user))
        .exec(tx)
        .await?;
    let of_user = login_session::Column::UserId.eq(user);
    mark_revoked(tx, of_user.and(login_session::Column::Method.ne(Method::ApiKey))).await?;
    oauth_authorization::Entity::delete_many()
        .filter(oauth_authorization::Column::UserId.eq(user))
        .exec(tx)
        .await
        .map(drop)
}

pub(super) fn valid(session: &login_session::Model, user: &user::Model) -> Result<(), Ended> {
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

pub(super) fn principal(
    user: user::Model,
    session: &login_session::Model,
    changes_seen: u64,
) -> Principal {
    Principal {
        role: role(session, &user),
        session_role: role(session, &user),
        revoked_before: revoked_before(session, &user),
        user_id: user.id,
        username: user.username,
        method: session.method,
        families: session.families.as_deref().map_or(Families::ALL, Families::from_names),
        session_id: session.id,
        session_expires_at: session.expires_at,
        session_ends_at: session.ends_at,
        changes_seen,
    }
}

pub(super) async fn find(
    connection: &impl ConnectionTrait,
    session: Uuid,
) -> Result<Option<(login_session::Model, user::Model)>, DbErr> {
    let row = login_session::Entity::find_by_id(session)
        .find_also_related(user::Entity)
        .one(connection)
        .await?;
    Ok(row.and_then(|(session, user)| Some((session, user?))))
}
