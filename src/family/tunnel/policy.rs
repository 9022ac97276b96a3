//! The policy of a tunnel: what the users may do that it is shared with.

use entity::{JsonText, tunnel};
use sea_orm::{ActiveModelTrait, ActiveValue::Set};
use uuid::Uuid;

use super::{
    list::existing,
    rows::{lock, topic},
    share::check_owner,
    share_schema::TunnelPolicy,
    sharing::policy,
    sharing_change::announce,
};
use crate::{
    auth::login_session::Principal,
    family::{FamilyError, Result, find_visible},
    gateway::Gateway,
    tunnel::Policy,
};

/// Largest policy, in bytes as JSON. The gateway keeps many of them in memory.
const MAX_POLICY: usize = 16_384;

/// Returns the policy of a tunnel.
///
/// # Errors
/// [`FamilyError::NotFound`] if the tunnel does not exist, was deleted, or is not visible to the caller.
pub async fn get_policy(
    gateway: &Gateway,
    principal: &Principal,
    id: Uuid,
) -> Result<TunnelPolicy> {
    find_visible(gateway, principal, &topic(id)).await?;
    Ok(policy(&existing(gateway, id).await?).into())
}

/// Replaces the policy of a tunnel. Applies to every later request. Returns the owner, too.
///
/// # Errors
/// - [`FamilyError::NotFound`] as [`get_policy`].
/// - [`FamilyError::Forbidden`] if the caller is an administrator who is not the owner.
/// - [`FamilyError::BadInput`] if the policy is too large.
pub async fn set_policy(
    gateway: &Gateway,
    principal: &Principal,
    id: Uuid,
    policy: TunnelPolicy,
) -> Result<(Uuid, TunnelPolicy)> {
    check_owner(gateway, principal, id).await?;
    let policy = Policy::from(policy);
    let stored = serde_json::to_string(&policy).ok().filter(|_| policy != Policy::default());
    if stored.as_ref().is_some_and(|stored| stored.len() > MAX_POLICY) {
        let reason = format!("has more than {MAX_POLICY} bytes as JSON");
        return Err(FamilyError::bad_input("the policy", reason));
    }
    let tx = gateway.database.begin_write().await?;
    let Some(row) = lock(&tx, id).await? else {
        tx.rollback().await?;
        return Err(FamilyError::NotFound);
    };
    let change = tunnel::ActiveModel {
        id: Set(id),
        policy: Set(stored.map(JsonText::from)),
        ..Default::default()
    };
    change.update(&tx).await?;
    tx.commit().await?;
    announce(gateway, id);
    Ok((row.owner_id, policy.into()))
}
