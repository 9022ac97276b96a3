//! Refresh with rotation: each session has one chain of refresh tokens (RFC 9700, section 4.14.2).
//!
//! The first use of a refresh token returns its successor. Two tabs can refresh with the same token at the same
//! time, and a client whose response was lost sends the token again. So every use within ten seconds, the grace,
//! returns the same successor. A stolen token never starts a second chain.
//!
//! | token | result |
//! |---|---|
//! | not used before | a new successor |
//! | first used within the grace, successor not used | the same successor again |
//! | first used within the grace, successor used | [`RefreshError::Superseded`]. Nothing is revoked, because the request may be of a slow second tab |
//! | first used before the grace | [`RefreshError::Reused`]. Two parties have the token, so the session is revoked |
//!
//! Tokens are stored as hashes only. During the grace, the successor is stored too, encrypted with AES-256-GCM.
//! The key is derived from the presented token (HKDF, RFC 5869), which the database does not have. The encrypted
//! successor is erased at its own first use, and by [`LoginSessions::prune`] after the grace.

use std::time::Duration;

use aws_lc_rs::{
    aead::{AES_256_GCM, RandomizedNonceKey},
    error::Unspecified,
    hkdf::{HKDF_SHA256, Salt},
};
use entity::{Timestamp, login_session, refresh_token};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait,
    IntoActiveModel, QueryFilter, QuerySelect, prelude::Expr,
};
use uuid::Uuid;

use super::{
    ended::{Ended, SessionError},
    principal::SessionGrant,
    refresh_token::issue,
    rows::{find, principal, role, valid},
    sessions::LoginSessions,
    watch::SessionState,
};
use crate::{
    clock::{Deadline, Reading, STABLE_AFTER},
    database::Transaction,
    secret::{self, fingerprint},
};

/// Time after the first use of a refresh token in which it returns the same successor. The process of the first
/// use measures the time by uptime, so a jump of the wall clock does not change it. Other processes use the wall
/// clock.
const GRACE: Duration = Duration::from_secs(10);

/// The `info` of HKDF, which binds the key to this purpose.
const PURPOSE: &[u8] = b"streamgate refresh token successor";

/// The refresh failed.
#[derive(Debug, thiserror::Error)]
pub enum RefreshError {
    /// The login session cannot be used.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The token was used again within the grace, after its successor was used.
    #[error("the successor of this refresh token is in use")]
    Superseded,
    /// The token was used again after the grace. Its session was revoked.
    #[error("a refresh token was used again after its grace")]
    Reused {
        /// Id of the session.
        session: Uuid,
        /// Id of the user.
        user: Uuid,
    },
}

impl From<Ended> for RefreshError {
    fn from(ended: Ended) -> Self {
        Self::Session(ended.into())
    }
}

impl From<DbErr> for RefreshError {
    fn from(error: DbErr) -> Self {
        Self::Session(error.into())
    }
}

impl LoginSessions {
    /// The login session of a refresh token, whatever its state. `None` for an unknown token.
    pub async fn session_of(&self, refresh_token: &str) -> Result<Option<Uuid>, DbErr> {
        let row = refresh_token::Entity::find_by_id(fingerprint(refresh_token));
        Ok(row.one(self.database.reader()).await?.map(|row| row.login_session_id))
    }

    /// Exchanges a refresh token for its successor, and extends the session. After [`RefreshError::Reused`], the
    /// caller announces the revoked session on the bus.
    ///
    /// # Errors
    /// - [`RefreshError::Session`] with [`Ended::Revoked`] if the token is unknown, or if the session was revoked.
    /// - [`RefreshError::Session`] with [`Ended::UserDisabled`] or [`Ended::Expired`] if the user is disabled, or if
    ///   the session has expired.
    /// - [`RefreshError::Superseded`] if the token is used again within the grace, and its successor was used.
    /// - [`RefreshError::Reused`] if the token is used again after the grace.
    pub async fn refresh(&self, token: &str) -> Result<SessionGrant, RefreshError> {
        let (now, changes_seen) = (Timestamp::now(), self.watched.change_count());
        let reading = self.clock.read();
        let tx = self.database.begin_write().await?;
        let by_hash = || refresh_token::Entity::find_by_id(fingerprint(token));
        let row = by_hash().one(&tx).await?.ok_or(Ended::Revoked)?;
        // The session is locked first, in the same order as when a user is deleted. So all refreshes of a
        // session run one after the other, in every process.
        let lock = login_session::Entity::find_by_id(row.login_session_id).lock_exclusive();
        lock.one(&tx).await?.ok_or(Ended::Revoked)?;
        let row = by_hash().one(&tx).await?.ok_or(Ended::Revoked)?;
        let (session, user) = find(&tx, row.login_session_id).await?.ok_or(Ended::Revoked)?;
        valid(&session, &user)?;
        let successor = match (row.used_at, &row.successor) {
            (None, _) => {
                // The previous token is superseded now.
                erase(&tx, refresh_token::Column::LoginSessionId.eq(session.id)).await?;
                let successor = issue(&tx, session.id, now).await?;
                let encrypted = encrypt(token, session.id, &successor);
                let mut row = row.into_active_model();
                let Deadline { at, clock } = reading.deadline_in(Duration::ZERO);
                (row.used_at, row.used_clock) = (Set(Some(at)), Set(clock));
                row.successor = Set(Some(encrypted));
                row.update(&tx).await?;
                successor
            }
            (Some(at), _) if grace_left(at, row.used_clock, &reading).is_zero() => {
                return Err(self.revoke_reused(tx, session).await?);
            }
            (Some(_), None) => return Err(RefreshError::Superseded),
            (Some(_), Some(encrypted)) => {
                decrypt(token, session.id, encrypted).ok_or_else(|| {
                    DbErr::Custom(
                        "the encrypted successor of a refresh token cannot be decrypted".to_owned(),
                    )
                })?
            }
        };
        let expires_at = (now + self.life).min(session.ends_at);
        let mut extended = session.into_active_model();
        extended.expires_at = Set(expires_at);
        let session = extended.update(&tx).await?;
        tx.commit().await?;
        let state =
            SessionState::Valid { role: role(&session, &user), expires_at: session.expires_at };
        self.announce(session.id, state);
        Ok(SessionGrant {
            principal: principal(user, &session, changes_seen),
            refresh_token: successor,
        })
    }

    /// Revokes a session whose token was used again after the grace. Two parties have the token, and one of them is
    /// not the user.
    async fn revoke_reused(
        &self,
        tx: Transaction,
        session: login_session::Model,
    ) -> Result<RefreshError, DbErr> {
        let (id, user) = (session.id, session.user_id);
        erase(&tx, refresh_token::Column::LoginSessionId.eq(id)).await?;
        let mut revoked = session.into_active_model();
        revoked.revoked_at = Set(Some(Timestamp::now()));
        revoked.update(&tx).await?;
        tx.commit().await?;
        self.session_ended(id);
        Ok(RefreshError::Reused { session: id, user })
    }

    /// Erases the successors whose grace has ended.
    pub(super) async fn erase_successors(&self) -> Result<(), DbErr> {
        // After a jump, timestamps of first uses are by the earlier setting for this much longer.
        let before = self.clock.read().cutoff(GRACE + STABLE_AFTER);
        erase(self.database.writer(), refresh_token::Column::UsedAt.lt(before)).await
    }
}

/// Remaining time in which a token returns the same successor.
fn grace_left(first_use: Timestamp, clock: Option<Uuid>, now: &Reading) -> Duration {
    now.time_until(Deadline { at: first_use + GRACE, clock })
}

/// Erases the encrypted successors in these rows.
async fn erase(
    connection: &impl ConnectionTrait,
    which: sea_orm::sea_query::SimpleExpr,
) -> Result<(), DbErr> {
    refresh_token::Entity::update_many()
        .col_expr(refresh_token::Column::Successor, Expr::value(None::<String>))
        .filter(refresh_token::Column::Successor.is_not_null())
        .filter(which)
        .exec(connection)
        .await
        .map(drop)
}

/// Derives the key of the successor from its token.
fn encryption_key(token: &str) -> Result<RandomizedNonceKey, Unspecified> {
    let mut key = [0; 32];
    let secret = Salt::new(HKDF_SHA256, &[]).extract(token.as_bytes());
    secret.expand(&[PURPOSE], &AES_256_GCM)?.fill(&mut key)?;
    RandomizedNonceKey::new(&AES_256_GCM, &key)
}

/// Encrypts a successor.
fn encrypt(token: &str, session: Uuid, successor: &str) -> String {
    encryption_key(token)
        .and_then(|key| secret::seal(&key, session, successor))
        .expect("a short text can be encrypted with a key of the right length")
}

/// Decrypts a stored successor. `None` if it was encrypted for another token or session, or is damaged.
fn decrypt(token: &str, session: Uuid, encrypted: &str) -> Option<String> {
    secret::open(&encryption_key(token).ok()?, session, encrypted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encrypted_successor_needs_its_token_and_session() {
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let encrypted = encrypt("a token", one, "its successor");
        assert_eq!(decrypt("a token", one, &encrypted).as_deref(), Some("its successor"));
        assert_ne!(encrypted, encrypt("a token", one, "its successor"), "the nonce is random");
        let damaged = encrypted.replacen(|letter| letter != 'A', "A", 1);
        for (token, session, encrypted) in [
            ("another token", one, encrypted.as_str()),
            ("a token", other, &encrypted),
            ("a token", one, &damaged),
            ("a token", one, &encrypted[..20]),
            ("a token", one, "AAAA"),
            ("a token", one, ""),
            ("a token", one, "not base64url!"),
        ] {
            assert_eq!(decrypt(token, session, encrypted), None, "{token} {session} {encrypted}");
        }
    }
}
