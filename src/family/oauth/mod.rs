//! What the families do with grants at upstream OAuth providers: resources that require one, access tokens for workers,
//! refreshes, and notifications for the user.

mod hand_out;
mod link;
mod refresh;
mod requirement;

pub use hand_out::{HandedOut, hand_out};
pub use link::{Linked, link, unlink};
pub use refresh::refresh_due;
pub use requirement::{check_new, check_topic, page_url, requires};

use serde_json::Value;
use uuid::Uuid;

use super::{
    Result,
    notification::{self, NewNotification},
    wire::AnyObject,
};
use crate::gateway::Gateway;

/// Creates a notification about a grant.
async fn notify(
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
fn title<'a>(gateway: &'a Gateway, provider: &'a str) -> &'a str {
    let mut all = gateway.oauth.providers();
    all.find(|known| known.name == provider).map_or(provider, |known| known.title())
}
