//! Stream tokens that were used: what an expired token may resume, and which tokens for one stream are used up.

use sea_orm::entity::prelude::*;

use crate::Timestamp;

/// A stream token that has opened a stream. Absent for a token that was never used.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "stream_token")]
pub struct Model {
    /// The `jti` claim of the token. The token itself is not stored.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Id of the login session that the token was minted in. The row can outlive the session for some minutes.
    pub login_session_id: Uuid,
    /// Names of the topics of the stream that the token opened last, sorted and joined by commas.
    #[sea_orm(column_type = "Text")]
    pub topics: String,
    /// Latest time at which a gateway knew that the stream was open. At most a heartbeat old while the stream is open.
    pub connected_at: Timestamp,
    /// Id of the connection that resumed the stream after the token expired. Absent before.
    pub connection_id: Option<Uuid>,
}

impl ActiveModelBehavior for ActiveModel {}
