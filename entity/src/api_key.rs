//! API keys.

use sea_orm::entity::prelude::*;

use crate::Timestamp;

/// A key of a program that acts as a user. Role, families and the end of the key are in the login session that has the
/// same id.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "api_key")]
pub struct Model {
    /// UUID version 7. Also the id of the key's login session.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Id of the owner.
    pub user_id: Uuid,
    /// Name of the key, for people.
    #[sea_orm(column_type = "Text")]
    pub name: String,
    /// The first characters of the key, to tell keys apart.
    pub hint: String,
    /// SHA-256 of the key, base64url.
    #[sea_orm(unique)]
    pub hash: String,
    /// Hash of the key before the last rotation. Absent if the key was never rotated.
    #[sea_orm(unique)]
    pub previous_hash: Option<String>,
    /// Time at which the previous key ends.
    pub previous_ends_at: Option<Timestamp>,
    /// Time of creation.
    pub created_at: Timestamp,
    /// Time at which the key ends. Absent if it does not end by itself.
    pub expires_at: Option<Timestamp>,
    /// Start of the day of the last use, UTC. Absent before the first use.
    pub last_used_on: Option<Timestamp>,
    /// Address of the last use that was recorded. Absent before the first use.
    pub last_used_address: Option<String>,
    /// Networks of the uses, newest first, joined by commas.
    #[sea_orm(column_type = "Text")]
    pub networks: String,
    /// The key's login session.
    #[sea_orm(belongs_to, from = "id", to = "id")]
    pub login_session: BelongsTo<super::login_session::Entity>,
}

impl ActiveModelBehavior for ActiveModel {}
