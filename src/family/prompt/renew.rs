//! Renews the lease of a prompt.

use uuid::Uuid;

use super::{
    publish_state::PublishState,
    schema::{PromptLease, RenewedPromptLease},
};
use crate::{family::Result, gateway::Gateway};

/// Renews the lease of a prompt for its full duration.
///
/// # Errors
/// - [`FamilyError::NotFound`](crate::family::FamilyError::NotFound) if the conversation has no prompt with this id.
/// - [`FamilyError::LeaseLost`](crate::family::FamilyError::LeaseLost) if the lease is not the newest or has expired,
///   or if the prompt has ended.
pub async fn renew(
    gateway: &Gateway,
    (conversation, id): (Uuid, Uuid),
    lease: &PromptLease,
) -> Result<RenewedPromptLease> {
    let state = PublishState::load(gateway, conversation, id).await?;
    let lease = state.check_lease(lease.lease_token, &gateway.clock.read())?;
    let until = lease.renew(gateway, id).await?;
    Ok(RenewedPromptLease { lease_expires_at: until.datetime() })
}
