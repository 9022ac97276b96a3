//! Login sessions.

use sea_orm::entity::prelude::*;

use super::user::Role;
use crate::Timestamp;

/// The way in which the requests of a session are authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::N(16))", rename_all = "snake_case")]
pub enum Method {
    /// By a login with a password: access tokens, or a cookie.
    Password,
    /// By an API key. The session has the id of the key.
    ApiKey,
    /// By access tokens of an external issuer.
    Issuer,
    /// By a header of a trusted proxy.
    Proxy,
}

/// A login of a user. Access tokens and stream tokens contain the id of the session. They become invalid when the
/// session ends.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "login_session")]
pub struct Model {
    /// UUID version 7, or version 8 for a session of an external issuer. The `sid` claim of the session's tokens.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Id of the user.
    pub user_id: Uuid,
    /// Time of the login.
    pub created_at: Timestamp,
    /// Time at which the session ends without a refresh.
    pub expires_at: Timestamp,
    /// Time at which the session was revoked. Absent before.
    pub revoked_at: Option<Timestamp>,
    /// Tokens of an external issuer that were issued before this time are refused. Absent if the session was never
    /// revoked, and for other methods.
    pub revoked_before: Option<Timestamp>,
    /// The way in which the requests of the session are authenticated.
    pub method: Method,
    /// Highest role of the session. Absent if the role of the user is the only limit.
    pub role: Option<Role>,
    /// Names of the families that the session may use, joined by commas. Absent for all of them.
    #[sea_orm(column_type = "Text", nullable)]
    pub families: Option<String>,
    /// Time at which the session ends even if it is refreshed.
    pub ends_at: Timestamp,
    /// The external issuer of the session's tokens. Absent for other methods.
    #[sea_orm(column_type = "Text", nullable)]
    pub issuer: Option<String>,
    /// The `sid` claim of the external issuer. Absent for other methods, and for tokens without this claim.
    #[sea_orm(column_type = "Text", nullable)]
    pub issuer_session: Option<String>,
    /// The user's row.
    #[sea_orm(belongs_to, from = "user_id", to = "id")]
    pub user: BelongsTo<super::user::Entity>,
}

impl ActiveModelBehavior for ActiveModel {}
