//! Reads the rows of login sessions.

use entity::{
    Timestamp, login_session,
    user::{self, Role},
};
use sea_orm::{ConnectionTrait, DbErr, EntityTrait};
use uuid::Uuid;

use super::{ended::Ended, families::Families, principal::Principal, watch::SessionState};

pub(super) fn state(session: &login_session::Model, user: &user::Model) -> SessionState {
    match valid(session, user) {
        Ok(()) => SessionState::Valid { role: role(session, user), expires_at: session.expires_at },
        Err(ended) => SessionState::Ended(ended),
    }
}

/// The lower one of the user's role and the session's highest role.
pub(super) fn role(session: &login_session::Model, user: &user::Model) -> Role {
    session.role.map_or(user.role, |highest| highest.min(user.role))
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
        revoked_before: session.revoked_before,
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
