//! The policy of a tunnel: what the users may do that it is shared with.

use entity::{JsonText, tunnel};
use sea_orm::{ActiveModelTrait, ActiveValue::Set};
use uuid::Uuid;

use super::{
    list::existing,
    rows::{lock, topic},
    share_schema::TunnelPolicy,
    sharing::policy,
};
use crate::{
    auth::login_session::Principal,
    family::{FamilyError, Result, find_visible},
    gateway::Gateway,
    tunnel::Policy,
};

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
/// As [`get_policy`].
pub async fn set_policy(
    gateway: &Gateway,
    principal: &Principal,
    id: Uuid,
    policy: TunnelPolicy,
) -> Result<(Uuid, TunnelPolicy)> {
    find_visible(gateway, principal, &topic(id)).await?;
    let policy = Policy::from(policy);
    let stored = serde_json::to_string(&policy).ok().filter(|_| policy != Policy::default());
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
    gateway.tunnels.sharing.invalidate(id);
    Ok((row.owner_id, policy.into()))
}
