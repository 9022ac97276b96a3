//! Sessions of users whom a trusted proxy names.
//!
//! Each user has one session for the requests of proxies, in every gateway. So stream tokens, limits and revocation work
//! as after a login. The proxy is the authority: when the session was revoked or has expired, the next request starts
//! another one.

use std::sync::Arc;

use entity::{
    Timestamp,
    login_session::{self, Method},
    user::{self, Role},
};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel, QueryFilter,
    QueryOrder, QuerySelect,
};
use uuid::Uuid;

use super::{
    ended::{Ended, SessionError},
    sessions::LoginSessions,
};

impl LoginSessions {
    /// The session and the user with this name, whose role in the session is at most `highest`. `None` if no user has the
    /// name. The caller validates the session.
    ///
    /// # Errors
    /// [`SessionError::Ended`] with [`Ended::UserDisabled`] if the user is disabled.
    pub async fn of_proxy(
        &self,
        username: &Arc<str>,
        highest: Role,
    ) -> Result<Option<(Uuid, Uuid)>, SessionError> {
        let known = self.proxy_sessions.get(username, |_| true);
        let lookup = match known {
            // The session may have ended since, and another user may have the name.
            Ok((session, user)) => match self.validate(session, user).await {
                Ok(principal) if principal.username == **username => {
                    return Ok(Some((session, user)));
                }
                Ok(_) | Err(SessionError::Ended(_)) => self.proxy_sessions.start_lookup(),
                Err(error) => return Err(error),
            },
            Err(lookup) => lookup,
        };
        let found = match find(self.database.reader(), username, highest).await? {
            Found::Nobody => return Ok(None),
            Found::User(_) => match self.start_for_proxy(username, highest).await? {
                Some(started) => started,
                None => return Ok(None),
            },
            Found::Session(session, user) => (session, user),
        };
        self.proxy_sessions.insert(Arc::clone(username), found, lookup);
        Ok(Some(found))
    }

    /// Creates the session of a user. The row of the user is locked, so that two requests do not create two.
    async fn start_for_proxy(
        &self,
        username: &str,
        highest: Role,
    ) -> Result<Option<(Uuid, Uuid)>, SessionError> {
        let now = Timestamp::now();
        let tx = self.database.begin_write().await?;
        let by_name = user::Entity::find().filter(user::Column::Username.eq(username));
        by_name.lock_exclusive().one(&tx).await?;
        let user = match find(&tx, username, highest).await? {
            Found::Nobody => return Ok(None),
            Found::Session(session, user) => return Ok(Some((session, user))),
            Found::User(user) => user,
        };
        let session = login_session::Model {
            id: Uuid::now_v7(),
            user_id: user,
            created_at: now,
            expires_at: now + self.life.min(self.longest),
            revoked_at: None,
            revoked_before: None,
            method: Method::Proxy,
            role: Some(highest),
            families: None,
            ends_at: now + self.longest,
            issuer: None,
            issuer_session: None,
        };
        let session = session.into_active_model().insert(&tx).await?;
        tx.commit().await?;
        Ok(Some((session.id, user)))
    }
}

/// The result of a look-up by the name of a user.
enum Found {
    /// No user has the name.
    Nobody,
    /// The user has no valid session.
    User(Uuid),
    /// A valid session, and the user.
    Session(Uuid, Uuid),
}

async fn find(
    connection: &impl ConnectionTrait,
    username: &str,
    highest: Role,
) -> Result<Found, SessionError> {
    let user = user::Entity::find().filter(user::Column::Username.eq(username));
    let Some(user) = user.one(connection).await? else { return Ok(Found::Nobody) };
    if user.disabled {
        return Err(Ended::UserDisabled.into());
    }
    let session = login_session::Entity::find()
        .filter(login_session::Column::UserId.eq(user.id))
        .filter(login_session::Column::Method.eq(Method::Proxy))
        .filter(login_session::Column::Role.eq(highest))
        .filter(login_session::Column::RevokedAt.is_null())
        .filter(login_session::Column::ExpiresAt.gt(Timestamp::now()))
        .order_by_desc(login_session::Column::Id)
        .one(connection)
        .await?;
    Ok(session.map_or(Found::User(user.id), |session| Found::Session(session.id, user.id)))
}
