//! Refresh tokens: random values of 256 bits, stored as hashes.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use entity::{Timestamp, refresh_token};
use sea_orm::{ActiveModelTrait, ConnectionTrait, DbErr, IntoActiveModel};
use uuid::Uuid;

/// Creates a token of the session, and stores its hash.
pub(super) async fn issue(
    connection: &impl ConnectionTrait,
    session: Uuid,
    now: Timestamp,
) -> Result<String, DbErr> {
    let mut secret = [0; 32];
    aws_lc_rs::rand::fill(&mut secret).expect("the system's random source does not fail");
    let token = BASE64_URL_SAFE_NO_PAD.encode(secret);
    let row = refresh_token::Model {
        hash: fingerprint(&token),
        login_session_id: session,
        created_at: now,
        used_at: None,
        used_clock: None,
        successor: None,
    };
    row.into_active_model().insert(connection).await?;
    Ok(token)
}

/// The hash of a token. A random token cannot be guessed, so a fast hash without a salt is enough.
pub(super) fn fingerprint(token: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, token.as_bytes());
    BASE64_URL_SAFE_NO_PAD.encode(digest)
}
