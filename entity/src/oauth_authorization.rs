//! Authorizations at upstream OAuth providers that have begun and not ended.

use sea_orm::entity::prelude::*;

use crate::Timestamp;

/// The way of a user from the request for an authorization to the callback of the provider.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "oauth_authorization")]
pub struct Model {
    /// UUID version 4, the `request` of the page.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Id of the user that the grant is for.
    pub user_id: Uuid,
    /// Name of the provider in the configuration.
    pub provider: String,
    /// SHA-256 of the one-time cookie. Absent before the user has confirmed the identity on the page.
    #[sea_orm(column_type = "Text", nullable)]
    pub cookie_hash: Option<String>,
    /// SHA-256 of `state`. Absent before the user goes to the provider.
    #[sea_orm(column_type = "Text", nullable)]
    pub state_hash: Option<String>,
    /// The PKCE verifier, encrypted. Absent before the user goes to the provider.
    #[sea_orm(column_type = "Text", nullable)]
    pub verifier: Option<String>,
    /// Time of creation.
    pub created_at: Timestamp,
    /// Time at which the authorization expires.
    pub expires_at: Timestamp,
}

impl ActiveModelBehavior for ActiveModel {}
