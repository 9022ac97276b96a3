//! Grants of users at upstream OAuth providers.

use sea_orm::entity::prelude::*;

use crate::{JsonText, Timestamp};

/// Status of a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::N(16))", rename_all = "snake_case")]
pub enum Status {
    /// The last refresh succeeded, or none was needed.
    Active,
    /// The last refreshes failed for a reason that may pass. The gateway tries again.
    Failed,
    /// The provider has refused the refresh token. Only a new authorization helps.
    Expired,
}

/// The tokens of one user at one provider.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "oauth_grant")]
pub struct Model {
    /// UUID version 7.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Id of the user.
    pub user_id: Uuid,
    /// Name of the provider in the configuration.
    pub provider: String,
    /// Access token and refresh token, encrypted. Starts with the id of the key.
    #[sea_orm(column_type = "Text")]
    pub tokens: String,
    /// Counts the tokens that were stored. A refresh replaces only the version that it has read.
    pub version: i64,
    /// Scopes that the provider has granted, as a JSON array of strings.
    #[sea_orm(column_type = "Text")]
    pub scopes: JsonText,
    /// Status of the grant.
    pub status: Status,
    /// Whether there is a refresh token.
    pub refreshable: bool,
    /// Time at which the access token expires. Absent if the provider gave no lifetime.
    pub access_expires_at: Option<Timestamp>,
    /// Time of the next refresh. Absent if the grant needs none, or cannot be refreshed.
    pub refresh_at: Option<Timestamp>,
    /// The refresh that runs. Absent if none does.
    pub refresh_lease: Option<Uuid>,
    /// Time until which no other refresh may start. Absent if none runs.
    pub refresh_lease_until: Option<Timestamp>,
    /// Number of refreshes that failed since the last one that succeeded.
    pub failures: i32,
    /// Time at which the user linked the account.
    pub created_at: Timestamp,
    /// Time at which the tokens were stored.
    pub updated_at: Timestamp,
}

impl ActiveModelBehavior for ActiveModel {}
