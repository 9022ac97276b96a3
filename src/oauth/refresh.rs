//! Refreshes a grant: one gateway at a time, without a transaction that is open during the request.
//!
//! A lease in the row decides which gateway sends the request. The others wait until the row has another version. Many
//! providers rotate refresh tokens, and revoke the grant if an old one is used again (RFC 9700, section 4.14.2). So two
//! requests with one refresh token must never happen.
//!
//! New tokens are stored before anything uses them. A failure that may pass is tried again after 1 and 2 seconds. After
//! the third one, the grant is `failed`, and is tried again every 30 seconds.

use std::time::Duration;

use entity::{
    Timestamp,
    oauth_grant::{self, Column, Model, Status},
};
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, prelude::Expr};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::{
    engine::Oauth,
    error::OauthError,
    grants::{Stored, with},
};

/// Longest duration of a refresh. Longer than its three requests can take (`http_client`): two for the discovery of the
/// endpoints, and one for the tokens.
const LEASE: Duration = Duration::from_mins(1);

/// Interval at which a waiting caller reads the row.
const POLL: Duration = Duration::from_millis(100);

/// Number of failures after which the grant is `failed`.
const TRIES: i32 = 3;

/// Interval between the tries of a `failed` grant.
const RETRY: Duration = Duration::from_secs(30);

/// Longest time in which new tokens are stored again and again while the database fails.
const STORE_PATIENCE: Duration = Duration::from_mins(5);

/// Interval between these tries.
const STORE_INTERVAL: Duration = Duration::from_secs(1);

/// The result of a refresh.
#[derive(Debug)]
pub enum Refreshed {
    /// This call has refreshed the grant.
    Done {
        /// The row.
        grant: Model,
        /// Duration of the request to the provider.
        provider_took: Duration,
    },
    /// Another call has refreshed the grant in the meantime.
    Elsewhere(Model),
    /// The refresh failed, for a reason that may pass.
    Failed {
        /// The reason.
        error: OauthError,
        /// Whether this was the third failure in a row.
        gave_up: bool,
    },
    /// The provider has refused the refresh token, so the grant has expired.
    Expired,
}

impl Oauth {
    /// Refreshes a grant, unless another call has done it since `seen` was read.
    ///
    /// # Errors
    /// [`OauthError::NoGrant`] if the grant was deleted, has expired before, or has no refresh token.
    pub async fn refresh(&self, seen: &Model) -> Result<Refreshed, OauthError> {
        let began = Instant::now();
        loop {
            let row = self.row(seen.id).await?;
            if row.version != seen.version {
                return Ok(Refreshed::Elsewhere(row));
            }
            if row.status == Status::Expired || !row.refreshable {
                return Err(OauthError::NoGrant);
            }
            // A caller that has waited for a failed refresh does not send another request.
            if row.failures != seen.failures {
                let error = OauthError::Unavailable("another refresh has failed".to_owned());
                return Ok(Refreshed::Failed { error, gave_up: false });
            }
            let lease = Uuid::new_v4();
            if self.take_lease(&row, lease).await? {
                return self.refresh_under(row, lease).await;
            }
            if began.elapsed() > LEASE {
                return Err(OauthError::Unavailable("another refresh takes too long".to_owned()));
            }
            sleep(POLL).await;
        }
    }

    /// Stores new tokens under a lease. The provider may have used up the old refresh token, so the tokens must not be
    /// lost: while the database fails, this tries again. Returns false if the lease was lost, or the row deleted.
    async fn store(&self, row: &Model, lease: Uuid, stored: &Stored) -> Result<bool, OauthError> {
        let began = Instant::now();
        loop {
            let update = oauth_grant::Entity::update_many()
                .filter(Column::Id.eq(row.id))
                .filter(Column::RefreshLease.eq(lease));
            let update = with(update, stored, Timestamp::now());
            match update.exec(self.database.writer()).await {
                Ok(updated) => return Ok(updated.rows_affected == 1),
                Err(error) if began.elapsed() > STORE_PATIENCE => return Err(error.into()),
                Err(error) => {
                    tracing::warn!(
                        provider = row.provider, target_user = %row.user_id, %error,
                        "cannot store the new tokens of a grant, trying again"
                    );
                    sleep(STORE_INTERVAL).await;
                }
            }
        }
    }

    async fn row(&self, id: Uuid) -> Result<Model, OauthError> {
        let row = oauth_grant::Entity::find_by_id(id).one(self.database.reader()).await?;
        row.ok_or(OauthError::NoGrant)
    }

    /// Takes the lease of this version of a row, if no other refresh has it.
    async fn take_lease(&self, row: &Model, lease: Uuid) -> Result<bool, OauthError> {
        let now = Timestamp::now();
        let is_free = Condition::any()
            .add(Column::RefreshLeaseUntil.is_null())
            .add(Column::RefreshLeaseUntil.lt(now));
        let update = oauth_grant::Entity::update_many()
            .col_expr(Column::RefreshLease, Expr::value(lease))
            .col_expr(Column::RefreshLeaseUntil, Expr::value(now + LEASE))
            .filter(Column::Id.eq(row.id))
            .filter(Column::Version.eq(row.version))
            .filter(is_free)
            .exec(self.database.writer());
        Ok(update.await?.rows_affected == 1)
    }

    /// Refreshes a row under its lease.
    async fn refresh_under(&self, row: Model, lease: Uuid) -> Result<Refreshed, OauthError> {
        let refreshed = async {
            let tokens = self.tokens(&row)?;
            let refresh = tokens.refresh.ok_or(OauthError::NoGrant)?;
            let began = Instant::now();
            let new = self.provider(&row.provider)?.refresh(&refresh).await?;
            Ok((refresh, new, began.elapsed()))
        };
        let error = match refreshed.await {
            Ok((old, new, provider_took)) => {
                let stored = self.stored(row.id, new, Some(old), &row.scopes)?;
                if self.store(&row, lease, &stored).await? {
                    return Ok(Refreshed::Done { grant: self.row(row.id).await?, provider_took });
                }
                // The user has unlinked the account or linked it again in the meantime.
                let unused = Model { tokens: stored.tokens, ..row.clone() };
                self.revoke(&row.provider, &self.tokens(&unused)?).await;
                return Ok(Refreshed::Elsewhere(self.row(row.id).await?));
            }
            Err(error) => error,
        };
        // The refresh token may have been replaced after this call has read it.
        let current = self.row(row.id).await?;
        if current.version != row.version {
            return Ok(Refreshed::Elsewhere(current));
        }
        let is_final = matches!(error, OauthError::Refused(_));
        let failures = row.failures.saturating_add(1);
        let status = match failures {
            _ if is_final => Status::Expired,
            TRIES.. => Status::Failed,
            _ => row.status,
        };
        let retry = match failures {
            1 => Duration::from_secs(1),
            2 => Duration::from_secs(2),
            _ => RETRY,
        };
        let retry = retry.mul_f64(1.0 + 0.25 * rand::random::<f64>());
        let retry = (!is_final).then(|| Timestamp::now() + retry);
        let update = oauth_grant::Entity::update_many()
            .col_expr(Column::Status, Expr::value(status))
            .col_expr(Column::Failures, Expr::value(failures))
            .col_expr(Column::RefreshAt, Expr::value(retry))
            .col_expr(Column::RefreshLeaseUntil, Expr::value(None::<Timestamp>))
            .filter(Column::Id.eq(row.id))
            .filter(Column::RefreshLease.eq(lease))
            .exec(self.database.writer());
        update.await?;
        tracing::warn!(provider = row.provider, user = %row.user_id, %error, "cannot refresh a grant");
        Ok(if is_final {
            Refreshed::Expired
        } else {
            Refreshed::Failed { error, gave_up: failures == TRIES }
        })
    }
}
