//! Notifications about grants.

use serde_json::Value;
use uuid::Uuid;

use crate::family::{
    Result,
    notification::{self, NewNotification},
    wire::AnyObject,
};
use crate::gateway::Gateway;

/// Creates a notification about a grant.
pub(super) async fn notify(
    gateway: &Gateway,
    user: Uuid,
    provider: &str,
    (kind, success): (&str, bool),
    message: String,
    data: Value,
) -> Result<()> {
    let new = NewNotification {
        kind: kind.into(),
        message: message.as_str().into(),
        provider: Some(provider.into()),
        success: Some(success),
        data: Some(AnyObject(data.to_string().into())),
    };
    notification::create(gateway, user, new).await.map(drop)
}

/// The name of a provider for people.
pub(super) fn title<'a>(gateway: &'a Gateway, provider: &'a str) -> &'a str {
    let mut all = gateway.oauth.providers();
    all.find(|known| known.name == provider).map_or(provider, |known| known.title())
}
