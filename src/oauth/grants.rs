//! The rows of grants.

use std::time::Duration;

use entity::{
    JsonText, Timestamp,
    oauth_grant::{self, Column, Status},
};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, DbErr, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder,
    QuerySelect, prelude::Expr, sea_query::ExprTrait,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{engine::Oauth, error::OauthError, response::NewTokens};

/// Maximum number of users in a query, and of rows of a result.
const PER_QUERY: usize = 500;

/// The tokens of a grant, before they are encrypted.
#[derive(Serialize, Deserialize)]
pub(super) struct Tokens {
    pub(super) access: String,
    pub(super) refresh: Option<String>,
}

/// The scopes of a grant.
#[must_use]
pub fn scopes(grant: &oauth_grant::Model) -> Vec<String> {
    serde_json::from_str(grant.scopes.as_str()).unwrap_or_default()
}

/// Whether a grant gives an access token now, or after a refresh.
#[must_use]
pub fn is_usable(grant: &oauth_grant::Model) -> bool {
    let is_current = grant.access_expires_at.is_none_or(|at| at > Timestamp::now());
    grant.status != Status::Expired && (grant.refreshable || is_current)
}

/// The time of the refresh: at 90 % of the lifetime, or up to 5 % earlier. So grants that were linked together are not
/// refreshed together.
fn refresh_time(now: Timestamp, lifetime: Duration) -> Timestamp {
    now + lifetime.mul_f64(0.9 - 0.05 * rand::random::<f64>())
}

/// The changes that new tokens make in a row.
pub(super) struct Stored {
    pub(super) tokens: String,
    pub(super) scopes: JsonText,
    pub(super) refreshable: bool,
    pub(super) access_expires_at: Option<Timestamp>,
    pub(super) refresh_at: Option<Timestamp>,
}

impl Oauth {
    /// The grants of a user, in the order of their providers.
    pub async fn grants(&self, user: Uuid) -> Result<Vec<oauth_grant::Model>, DbErr> {
        let all = oauth_grant::Entity::find().filter(Column::UserId.eq(user));
        all.order_by_asc(Column::Provider).all(self.database.reader()).await
    }

    /// The grant of a user at a provider.
    pub async fn grant(
        &self,
        user: Uuid,
        provider: &str,
    ) -> Result<Option<oauth_grant::Model>, DbErr> {
        oauth_grant::Entity::find()
            .filter(Column::UserId.eq(user))
            .filter(Column::Provider.eq(provider))
            .one(self.database.reader())
            .await
    }

    /// The grants of these users that are due for a refresh, at most 500.
    pub async fn due(&self, users: &[Uuid]) -> Result<Vec<oauth_grant::Model>, DbErr> {
        let mut due = Vec::new();
        for users in users.chunks(PER_QUERY) {
            let found = oauth_grant::Entity::find()
                .filter(Column::UserId.is_in(users.iter().copied()))
                .filter(Column::RefreshAt.lte(Timestamp::now()))
                .limit(PER_QUERY as u64)
                .all(self.database.reader())
                .await?;
            due.extend(found);
            if due.len() >= PER_QUERY {
                break;
            }
        }
        Ok(due)
    }

    /// Deletes a grant, and asks the provider to revoke its tokens. The grant is deleted even if the provider does not
    /// answer. Returns whether the provider has revoked a token.
    ///
    /// # Errors
    /// [`OauthError::NoGrant`] if the user has none.
    pub async fn unlink(&self, user: Uuid, provider: &str) -> Result<bool, OauthError> {
        let row = self.grant(user, provider).await?.ok_or(OauthError::NoGrant)?;
        let deleted =
            oauth_grant::Entity::delete_by_id(row.id).exec(self.database.writer()).await?;
        if deleted.rows_affected == 0 {
            return Err(OauthError::NoGrant);
        }
        Ok(self.revoke_deleted(&row).await)
    }

    /// Asks the provider to revoke the tokens of a grant whose row is deleted. A failure goes to the log.
    pub async fn revoke_deleted(&self, row: &oauth_grant::Model) -> bool {
        match self.tokens(row) {
            Ok(tokens) => self.revoke(&row.provider, &tokens).await,
            Err(_) => false,
        }
    }

    /// Asks the provider to revoke tokens. A failure goes to the log.
    pub(super) async fn revoke(&self, provider: &str, tokens: &Tokens) -> bool {
        let Ok(upstream) = self.provider(provider) else { return false };
        // The refresh token first: with it, the provider revokes the access token too (RFC 7009, section 2.1).
        let revoked = match &tokens.refresh {
            Some(refresh) => upstream.revoke(refresh, "refresh_token").await,
            None => upstream.revoke(&tokens.access, "access_token").await,
        };
        revoked.unwrap_or_else(|error| {
            tracing::warn!(provider, %error, "the tokens of a deleted grant were not revoked");
            false
        })
    }

    /// Stores the tokens of a new authorization. They replace those of an earlier one.
    pub(super) async fn insert(
        &self,
        user: Uuid,
        provider: &str,
        new: NewTokens,
    ) -> Result<oauth_grant::Model, OauthError> {
        let now = Timestamp::now();
        let id = Uuid::now_v7();
        let wanted = &self.provider(provider)?.config.scopes;
        let wanted = serde_json::to_string(wanted).unwrap_or_default().into();
        let Stored { tokens, scopes, refreshable, access_expires_at, refresh_at } =
            self.stored(id, new, None, &wanted)?;
        let row = oauth_grant::Model {
            id,
            user_id: user,
            provider: provider.to_owned(),
            tokens,
            version: 1,
            scopes,
            status: Status::Active,
            refreshable,
            access_expires_at,
            refresh_at,
            refresh_lease: None,
            refresh_lease_until: None,
            failures: 0,
            created_at: now,
            updated_at: now,
        };
        let tx = self.database.begin_write().await?;
        // A refresh of the old row that runs cannot store its tokens, because the new row has another id.
        oauth_grant::Entity::delete_many()
            .filter(Column::UserId.eq(user))
            .filter(Column::Provider.eq(provider))
            .exec(&tx)
            .await?;
        let row = row.into_active_model().insert(&tx).await?;
        tx.commit().await?;
        Ok(row)
    }

    /// Encrypts new tokens for a row.
    pub(super) fn stored(
        &self,
        row: Uuid,
        new: NewTokens,
        old_refresh: Option<String>,
        old_scopes: &JsonText,
    ) -> Result<Stored, OauthError> {
        let now = Timestamp::now();
        let tokens = Tokens { access: new.access, refresh: new.refresh.or(old_refresh) };
        let refreshable = tokens.refresh.is_some();
        let text = serde_json::to_string(&tokens).unwrap_or_default();
        let scopes = new.scopes.map(|scopes| serde_json::to_string(&scopes).unwrap_or_default());
        Ok(Stored {
            tokens: self.keyring.seal(row, &text)?,
            scopes: scopes.map_or_else(|| old_scopes.clone(), JsonText::from),
            refreshable,
            access_expires_at: new.lifetime.map(|lifetime| now + lifetime),
            refresh_at: new
                .lifetime
                .filter(|_| refreshable)
                .map(|lifetime| refresh_time(now, lifetime)),
        })
    }

    /// Decrypts the tokens of a row.
    pub(super) fn tokens(&self, row: &oauth_grant::Model) -> Result<Tokens, OauthError> {
        let text = self.keyring.open(row.id, &row.tokens)?;
        // The error could contain a part of the text.
        serde_json::from_str(&text).map_err(|_| super::keyring::KeyringError::Damaged.into())
    }

    /// The access token of a grant.
    pub fn access_token(&self, row: &oauth_grant::Model) -> Result<String, OauthError> {
        Ok(self.tokens(row)?.access)
    }

    /// Reads the keys again, and encrypts tokens of older keys with the newest one. Returns the number of rows.
    pub async fn reencrypt(&self) -> Result<u64, OauthError> {
        self.keyring.read()?;
        let Some(key) = self.keyring.active() else { return Ok(0) };
        let mut changed = 0;
        loop {
            let rows = oauth_grant::Entity::find()
                .filter(Column::Tokens.not_like(format!("{key}.%")))
                .limit(PER_QUERY as u64)
                .all(self.database.reader())
                .await?;
            let before = changed;
            for row in &rows {
                let text = self.keyring.open(row.id, &row.tokens)?;
                let update = oauth_grant::Entity::update_many()
                    .col_expr(Column::Tokens, Expr::value(self.keyring.seal(row.id, &text)?))
                    .filter(Column::Id.eq(row.id))
                    .filter(Column::Version.eq(row.version))
                    .exec(self.database.writer());
                changed += update.await?.rows_affected;
            }
            // Rows that others have changed since the query have the newest key, or come with the next sweep.
            if rows.len() < PER_QUERY || changed == before {
                return Ok(changed);
            }
        }
    }
}

/// Adds new tokens to an update of a row.
pub(super) fn with(
    update: sea_orm::UpdateMany<oauth_grant::Entity>,
    stored: &Stored,
    now: Timestamp,
) -> sea_orm::UpdateMany<oauth_grant::Entity> {
    update
        .col_expr(Column::Tokens, Expr::value(stored.tokens.clone()))
        .col_expr(Column::Version, Expr::col(Column::Version).add(1))
        .col_expr(Column::Scopes, Expr::value(stored.scopes.clone()))
        .col_expr(Column::Status, Expr::value(Status::Active))
        .col_expr(Column::Refreshable, Expr::value(stored.refreshable))
        .col_expr(Column::AccessExpiresAt, Expr::value(stored.access_expires_at))
        .col_expr(Column::RefreshAt, Expr::value(stored.refresh_at))
        .col_expr(Column::RefreshLeaseUntil, Expr::value(None::<Timestamp>))
        .col_expr(Column::Failures, Expr::value(0))
        .col_expr(Column::UpdatedAt, Expr::value(now))
}
