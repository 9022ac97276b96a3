//! Ends an authorization with a grant, and ends a grant.

use std::sync::Arc;

use entity::{Timestamp, oauth_grant};
use serde_json::json;
use uuid::Uuid;

use super::notify::{notify, title};
use crate::{
    family::{FamilyError, Result},
    gateway::Gateway,
    oauth::Callback,
};

/// A grant that was just created.
pub struct Linked {
    /// Id of the user.
    pub user: Uuid,
    /// Name of the provider.
    pub provider: String,
}

/// Exchanges the code of a callback, stores the grant and notifies the user.
///
/// # Errors
/// - [`FamilyError::Forbidden`] if the user has been disabled or deleted since the login on the page.
/// - [`FamilyError::Oauth`] if another provider has sent the callback, or if the provider refuses the code.
pub async fn link(
    gateway: &Gateway,
    callback: Callback,
    code: String,
    iss: Option<String>,
) -> Result<Linked> {
    gateway.oauth.check_issuer(&callback, iss.as_deref()).await?;
    let user = gateway.users.find(callback.authorization.user).await;
    if user.is_err() || user.is_ok_and(|user| user.disabled) {
        return Err(FamilyError::Forbidden("the user is disabled"));
    }
    let grant = gateway.oauth.redeem(callback, code).await?;
    let message = format!("Your account at {} is linked.", title(gateway, &grant.provider));
    let data = json!({ "expires_in": seconds_until(grant.access_expires_at) });
    notify(gateway, grant.user_id, &grant.provider, ("oauth.linked", true), message, data).await?;
    Ok(Linked { user: grant.user_id, provider: grant.provider })
}

/// Deletes a grant of a user, has the provider revoke its tokens, and notifies the user. Returns whether the provider
/// has revoked them.
///
/// # Errors
/// [`FamilyError::Oauth`] if the user has no grant at this provider.
pub async fn unlink(gateway: &Gateway, user: Uuid, provider: &str) -> Result<bool> {
    let revoked = gateway.oauth.unlink(user, provider).await?;
    let message = format!("Your account at {} is no longer linked.", title(gateway, provider));
    let data = json!({ "revoked_at_provider": revoked });
    notify(gateway, user, provider, ("oauth.revoked", true), message, data).await?;
    Ok(revoked)
}

/// Asks the providers to revoke the tokens of grants that were deleted with their user.
pub fn revoke_in_background(gateway: &Arc<Gateway>, grants: Vec<oauth_grant::Model>) {
    let running = Arc::clone(gateway);
    gateway.tasks.spawn(async move {
        for grant in &grants {
            running.oauth.revoke_deleted(grant).await;
        }
    });
}

/// Seconds until a time. Absent if there is no time.
pub(super) fn seconds_until(at: Option<Timestamp>) -> Option<u64> {
    at.map(|at| at.since(Timestamp::now()).as_secs())
}
