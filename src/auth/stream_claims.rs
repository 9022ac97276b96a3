//! The claims of a stream token.

use entity::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The streams that a stream token opens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StreamScope {
    /// The stream of this topic.
    #[serde(rename = "topic")]
    Topic(String),
    /// One stream of these topics, or of some of them.
    #[serde(rename = "topics")]
    Topics(Vec<String>),
}

/// The claims of a stream token.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StreamClaims {
    /// Id of the user.
    pub sub: Uuid,
    /// Id of the login session.
    pub sid: Uuid,
    /// The streams that the token opens.
    #[serde(flatten)]
    pub scope: StreamScope,
    /// Whether the token opens a stream only once.
    #[serde(default, skip_serializing_if = "is_false")]
    pub single_use: bool,
    /// Id of the token.
    pub jti: Uuid,
    pub(super) iss: String,
    pub(super) aud: String,
    pub(super) iat: i64,
    pub(super) exp: i64,
}

impl StreamClaims {
    /// Time at which the token was minted.
    #[must_use]
    pub fn issued_at(&self) -> Timestamp {
        Timestamp::from_seconds(self.iat)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(value: &bool) -> bool {
    !value
}
