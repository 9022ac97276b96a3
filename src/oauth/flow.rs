//! An authorization, from the request of a user to the callback of the provider.
//!
//! An attacker can begin an authorization and send the link to another user, who would then link an account to the
//! attacker's user (RFC 9700, section 4.7). So the page of the gateway first asks for a login as the user that the grant
//! is for. The browser that logs in gets a one-time cookie. Only with this cookie can a browser go on to the provider,
//! and only with it is the callback accepted.

use std::time::Duration;

use entity::{
    Timestamp,
    oauth_authorization::{self, Column},
    oauth_grant,
};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, DbErr, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder,
    QuerySelect, prelude::Expr,
};
use url::Url;
use uuid::Uuid;

use super::{engine::Oauth, error::OauthError};
use crate::secret::{self, fingerprint};

/// Time from the request for an authorization to the callback.
const LIFE: Duration = Duration::from_mins(10);

/// Age up to which an authorization that no browser has opened is returned again. A client that opens a stream again and
/// again adds at most one authorization in this time.
const REUSE: Duration = Duration::from_mins(1);

/// Maximum number of authorizations of a user that have begun. The oldest ones are deleted first.
const MAX_PER_USER: u64 = 20;

/// An authorization that has begun.
#[derive(Clone, Debug)]
pub struct Authorization {
    /// Id in the URL of the page.
    pub id: Uuid,
    /// Id of the user that the grant is for.
    pub user: Uuid,
    /// Name of the provider.
    pub provider: String,
    /// Time at which the authorization expires.
    pub expires_at: Timestamp,
}

impl From<oauth_authorization::Model> for Authorization {
    fn from(row: oauth_authorization::Model) -> Self {
        let oauth_authorization::Model { id, user_id: user, provider, expires_at, .. } = row;
        Self { id, user, provider, expires_at }
    }
}

/// An authorization whose callback has arrived. It cannot be used again.
pub struct Callback {
    /// The authorization.
    pub authorization: Authorization,
    verifier: String,
}

impl Oauth {
    /// Begins an authorization, or returns the one that was begun less than a minute ago, if no browser has opened it.
    ///
    /// # Errors
    /// [`OauthError::UnknownProvider`] if the provider is not configured.
    pub async fn begin(&self, user: Uuid, provider: &str) -> Result<Authorization, OauthError> {
        self.provider(provider)?;
        let now = Timestamp::now();
        let unopened = oauth_authorization::Entity::find()
            .filter(Column::UserId.eq(user))
            .filter(Column::Provider.eq(provider))
            .filter(Column::CookieHash.is_null())
            .filter(Column::CreatedAt.gt(now - REUSE))
            .filter(Column::ExpiresAt.gt(now))
            .one(self.database.reader())
            .await?;
        if let Some(unopened) = unopened {
            return Ok(unopened.into());
        }
        let old: Vec<Uuid> = oauth_authorization::Entity::find()
            .filter(Column::UserId.eq(user))
            .order_by_desc(Column::CreatedAt)
            // SQLite has no OFFSET without a LIMIT.
            .limit(1_000)
            .offset(MAX_PER_USER - 1)
            .select_only()
            .column(Column::Id)
            .into_tuple()
            .all(self.database.reader())
            .await?;
        if !old.is_empty() {
            let old = oauth_authorization::Entity::delete_many().filter(Column::Id.is_in(old));
            old.exec(self.database.writer()).await?;
        }
        let row = oauth_authorization::Model {
            id: Uuid::new_v4(),
            user_id: user,
            provider: provider.to_owned(),
            cookie_hash: None,
            state_hash: None,
            verifier: None,
            created_at: now,
            expires_at: now + LIFE,
        };
        Ok(row.into_active_model().insert(self.database.writer()).await?.into())
    }

    /// The authorization with this id.
    ///
    /// # Errors
    /// [`OauthError::UnknownAuthorization`] if it does not exist or has expired.
    pub async fn authorization(&self, id: Uuid) -> Result<Authorization, OauthError> {
        let row = oauth_authorization::Entity::find_by_id(id).one(self.database.reader()).await?;
        let row = row.filter(|row| row.expires_at > Timestamp::now() && self.has(&row.provider));
        Ok(row.ok_or(OauthError::UnknownAuthorization)?.into())
    }

    /// The authorization endpoint of a provider.
    pub async fn target(&self, provider: &str) -> Result<Url, OauthError> {
        Ok(self.provider(provider)?.endpoints().await?.authorization)
    }

    /// Binds an authorization to the browser whose user has confirmed the identity. Returns the value of the one-time
    /// cookie. A later call replaces the browser.
    pub async fn confirm(&self, id: Uuid) -> Result<String, OauthError> {
        let cookie = secret::random();
        let update = oauth_authorization::Entity::update_many()
            .col_expr(Column::CookieHash, Expr::value(fingerprint(&cookie)))
            .col_expr(Column::StateHash, Expr::value(None::<String>))
            .filter(Column::Id.eq(id))
            .filter(Column::ExpiresAt.gt(Timestamp::now()))
            .exec(self.database.writer());
        if update.await?.rows_affected == 0 {
            return Err(OauthError::UnknownAuthorization);
        }
        Ok(cookie)
    }

    /// Starts the authorization at the provider, for the browser with this cookie. Returns the URL to go to.
    pub async fn start(&self, id: Uuid, cookie: &str) -> Result<Url, OauthError> {
        let authorization = self.authorization(id).await?;
        let state = secret::random();
        let provider = self.provider(&authorization.provider)?;
        let (url, verifier) = provider.authorization_url(&state).await?;
        let update = oauth_authorization::Entity::update_many()
            .col_expr(Column::StateHash, Expr::value(fingerprint(&state)))
            .col_expr(Column::Verifier, Expr::value(self.keyring.seal(id, verifier.secret())?))
            .filter(Column::Id.eq(id))
            .filter(Column::CookieHash.eq(fingerprint(cookie)))
            .exec(self.database.writer());
        if update.await?.rows_affected == 0 {
            return Err(OauthError::UnknownAuthorization);
        }
        Ok(url)
    }

    /// Ends the authorization with this state, if the browser has its cookie.
    ///
    /// # Errors
    /// [`OauthError::UnknownAuthorization`] if the state or the cookie is wrong, or if the state was used.
    pub async fn take(&self, state: &str, cookie: &str) -> Result<Callback, OauthError> {
        // The cookie is in the query too, so a browser without it cannot end the authorization of another browser.
        let row = oauth_authorization::Entity::find()
            .filter(Column::StateHash.eq(fingerprint(state)))
            .filter(Column::CookieHash.eq(fingerprint(cookie)))
            .filter(Column::ExpiresAt.gt(Timestamp::now()))
            .one(self.database.reader())
            .await?;
        let row = row.ok_or(OauthError::UnknownAuthorization)?;
        let deleted = oauth_authorization::Entity::delete_by_id(row.id);
        // Of two callbacks at the same time, only one deletes the row.
        if deleted.exec(self.database.writer()).await?.rows_affected == 0 {
            return Err(OauthError::UnknownAuthorization);
        }
        let sealed = row.verifier.as_deref().ok_or(OauthError::UnknownAuthorization)?;
        let verifier = self.keyring.open(row.id, sealed)?;
        Ok(Callback { authorization: row.into(), verifier })
    }

    /// Checks which provider has sent the callback (RFC 9207, section 2.4). So the code of one provider never goes to
    /// another one (mix-up, RFC 9700, section 4.4).
    ///
    /// # Errors
    /// [`OauthError::OtherIssuer`] if `iss` is not the configured issuer of the provider, or if `iss` is absent although
    /// the provider always sends it.
    pub async fn check_issuer(
        &self,
        callback: &Callback,
        iss: Option<&str>,
    ) -> Result<(), OauthError> {
        let provider = self.provider(&callback.authorization.provider)?;
        let is_right = match iss {
            Some(iss) => provider.issuer() == Some(iss.trim_end_matches('/')),
            None => !provider.endpoints().await?.sends_issuer,
        };
        if is_right { Ok(()) } else { Err(OauthError::OtherIssuer) }
    }

    /// Exchanges the code of a callback for tokens, and stores them as the grant of the user.
    pub async fn redeem(
        &self,
        callback: Callback,
        code: String,
    ) -> Result<oauth_grant::Model, OauthError> {
        let Authorization { user, provider, .. } = callback.authorization;
        let tokens = self.provider(&provider)?.exchange(code, callback.verifier).await?;
        self.insert(user, &provider, tokens).await
    }

    /// Deletes authorizations that expired before `cutoff`.
    pub async fn prune(&self, cutoff: Timestamp) -> Result<(), DbErr> {
        let expired =
            oauth_authorization::Entity::delete_many().filter(Column::ExpiresAt.lt(cutoff));
        expired.exec(self.database.writer()).await.map(drop)
    }
}
