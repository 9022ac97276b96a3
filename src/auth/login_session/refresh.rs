//! Refreshing: one chain of tokens for each session (RFC 9700, section 4.14.2).
//!
//! A refresh token is exchanged for its successor at its first use. Tabs that refresh at the same time, and a
//! client whose response was lost, send the same token again. For a grace of ten seconds every use gets the
//! same successor. So a token has one successor for all users of it, and a thief gets no second chain.
//!
//! | the token was | answer |
//! |---|---|
//! | not used before | a new successor |
//! | first used within the grace, its successor not used | the same successor again |
//! | first used within the grace, its successor used | [`RefreshError::Superseded`]; nothing is revoked: the request of a second tab may have been on its way |
//! | first used before the grace | [`RefreshError::Reused`]: two hold the token, so the session is revoked |
//!
//! Tokens are stored as hashes only. The successor is sealed with AES-256-GCM until the grace ends. Its key is
//! derived from the token that asks for it (HKDF, RFC 5869), which the database does not have. It is erased
//! when it is used itself, and by [`LoginSessions::prune`] after the grace.

use std::time::Duration;

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    error::Unspecified,
    hkdf::{HKDF_SHA256, Salt},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use entity::{Timestamp, login_session, refresh_token};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait,
    IntoActiveModel, QueryFilter, QuerySelect, prelude::Expr,
};
use uuid::Uuid;

use super::{
    ended::{Ended, SessionError},
    principal::SessionGrant,
    refresh_token::{fingerprint, issue},
    rows::{find, principal, valid},
    sessions::LoginSessions,
    watch::SessionState,
};
use crate::{
    clock::{Deadline, Reading, SETTLING},
    database::Transaction,
};

/// Time after its first use in which a refresh token gets the same successor. The process that saw the first
/// use measures it by uptime, so that no jump of the wall clock changes it. Other processes measure it by the
/// wall clock.
const GRACE: Duration = Duration::from_secs(10);

/// The purpose of the sealing key, for HKDF.
const PURPOSE: &[u8] = b"streamgate refresh token successor";

/// Why a refresh token was not exchanged.
#[derive(Debug, thiserror::Error)]
pub enum RefreshError {
    /// Its session could not be had.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// It was used again within its grace, and its successor has been used by now.
    #[error("the successor of this refresh token is in use")]
    Superseded,
    /// It was used again after its grace: two hold it. The session of this id was revoked.
    #[error("a refresh token was used again after its grace")]
    Reused(Uuid),
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
    /// Exchanges a refresh token for its successor and prolongs the session. The caller tells other
    /// gateways of a session that was revoked because its token was [`RefreshError::Reused`].
    pub async fn refresh(&self, token: &str) -> Result<SessionGrant, RefreshError> {
        let (now, as_of) = (Timestamp::now(), self.watched.announced());
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
                // The token before this one is superseded from now on.
                erase(&tx, refresh_token::Column::LoginSessionId.eq(session.id)).await?;
                let successor = issue(&tx, session.id, now).await?;
                let sealed = seal(token, session.id, &successor);
                let mut row = row.into_active_model();
                let Deadline { at, clock } = reading.after(Duration::ZERO);
                (row.used_at, row.used_clock) = (Set(Some(at)), Set(clock));
                row.successor = Set(Some(sealed));
                row.update(&tx).await?;
                successor
            }
            (Some(at), _) if grace_left(at, row.used_clock, &reading).is_zero() => {
                return Err(self.revoke_reused(tx, session).await?);
            }
            (Some(_), None) => return Err(RefreshError::Superseded),
            (Some(_), Some(sealed)) => open(token, session.id, sealed).ok_or_else(|| {
                DbErr::Custom("the sealed successor of a refresh token does not open".to_owned())
            })?,
        };
        let mut prolonged = session.into_active_model();
        prolonged.expires_at = Set(now + self.life);
        let session = prolonged.update(&tx).await?;
        tx.commit().await?;
        let state = SessionState::Valid { role: user.role, expires_at: session.expires_at };
        self.announce(session.id, state);
        Ok(SessionGrant { principal: principal(user, &session, as_of), refresh_token: successor })
    }

    /// Ends a session whose token was used again after the grace. Two parties hold the token, and one of them
    /// is not the user.
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
        tracing::warn!(
            target: "streamgate::security",
            %user,
            session = %id,
            "a refresh token was used again after its grace: its session is revoked"
        );
        Ok(RefreshError::Reused(id))
    }

    /// Erases the successors whose grace has ended.
    pub(super) async fn erase_successors(&self) -> Result<(), DbErr> {
        // After a jump, first uses are stamped by the earlier setting for this much longer.
        let before = self.clock.read().cutoff(GRACE + SETTLING);
        erase(self.database.writer(), refresh_token::Column::UsedAt.lt(before)).await
    }
}

/// Time in which a token still gets the same successor, from its first use.
fn grace_left(first_use: Timestamp, clock: Option<Uuid>, now: &Reading) -> Duration {
    now.left(Deadline { at: first_use + GRACE, clock })
}

/// Erases the sealed successors among these rows.
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

/// The key that this token alone gives.
fn sealing_key(token: &str) -> Result<RandomizedNonceKey, Unspecified> {
    let mut key = [0; 32];
    let secret = Salt::new(HKDF_SHA256, &[]).extract(token.as_bytes());
    secret.expand(&[PURPOSE], &AES_256_GCM)?.fill(&mut key)?;
    RandomizedNonceKey::new(&AES_256_GCM, &key)
}

/// The successor as it is stored: nonce, ciphertext and tag, base64url.
fn seal(token: &str, session: Uuid, successor: &str) -> String {
    let mut text = successor.as_bytes().to_vec();
    let nonce = sealing_key(token)
        .and_then(|key| key.seal_in_place_append_tag(Aad::from(session.as_bytes()), &mut text))
        .expect("a short text under a key of the right length can be sealed");
    BASE64_URL_SAFE_NO_PAD.encode([nonce.as_ref().as_slice(), &text].concat())
}

/// The successor in what was stored, if it was sealed under this token for this session.
fn open(token: &str, session: Uuid, sealed: &str) -> Option<String> {
    let mut bytes = BASE64_URL_SAFE_NO_PAD.decode(sealed).ok()?;
    let (nonce, text) = bytes.split_at_mut_checked(NONCE_LEN)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let key = sealing_key(token).ok()?;
    let text = key.open_in_place(nonce, Aad::from(session.as_bytes()), text).ok()?;
    String::from_utf8(text.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealed_successor_opens_only_with_its_token_and_session() {
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let sealed = seal("a token", one, "its successor");
        assert_eq!(open("a token", one, &sealed).as_deref(), Some("its successor"));
        assert_ne!(sealed, seal("a token", one, "its successor"), "the nonce is random");
        let damaged = sealed.replacen(|letter| letter != 'A', "A", 1);
        for (token, session, sealed) in [
            ("another token", one, sealed.as_str()),
            ("a token", other, &sealed),
            ("a token", one, &damaged),
            ("a token", one, &sealed[..20]),
            ("a token", one, "AAAA"),
            ("a token", one, ""),
            ("a token", one, "not base64url!"),
        ] {
            assert_eq!(open(token, session, sealed), None, "{token} {session} {sealed}");
        }
    }
}
