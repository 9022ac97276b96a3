//! Refresh tokens: random values of 256 bits, stored as hashes.

use entity::{Timestamp, refresh_token};
use sea_orm::{ActiveModelTrait, ConnectionTrait, DbErr, IntoActiveModel};
use uuid::Uuid;

use crate::secret;

/// Creates a token of the session, and stores its hash.
pub(super) async fn issue(
    connection: &impl ConnectionTrait,
    session: Uuid,
    now: Timestamp,
) -> Result<String, DbErr> {
    let token = secret::random();
    let row = refresh_token::Model {
        hash: secret::fingerprint(&token),
        login_session_id: session,
        created_at: now,
        used_at: None,
        used_clock: None,
        successor: None,
    };
    row.into_active_model().insert(connection).await?;
    Ok(token)
}
