//! Deletes a tunnel on request.

use entity::{Timestamp, blocked_tunnel_client};
use sea_orm::{ActiveModelTrait, IntoActiveModel};
use uuid::Uuid;

use super::{
    end::close,
    rows::{delete_locked, lock, topic},
};
use crate::{
    auth::login_session::Principal,
    family::{FamilyError, Result, find_visible},
    gateway::Gateway,
};

/// Deletes a tunnel on request of its owner or an administrator. Its client is disconnected, and may not connect again
/// until its entry in the list of blocked clients is deleted.
///
/// # Errors
/// [`FamilyError::NotFound`] if the tunnel does not exist, was deleted, or is not visible to the caller.
pub async fn delete(gateway: &Gateway, principal: &Principal, id: Uuid) -> Result<()> {
    find_visible(gateway, principal, &topic(id)).await?;
    let tx = gateway.database.begin_write().await?;
    let Some(row) = lock(&tx, id).await? else {
        tx.rollback().await?;
        return Err(FamilyError::NotFound);
    };
    let blocked = blocked_tunnel_client::Model {
        id: Uuid::now_v7(),
        owner_id: row.owner_id,
        key_id: row.key_id,
        client_name: row.client_name.clone(),
        blocked_by: principal.user_id,
        created_at: Timestamp::now(),
    };
    blocked.into_active_model().insert(&tx).await?;
    let events = delete_locked(gateway, &tx, row).await?;
    gateway.hub.commit(tx, events).await?;
    close(gateway, id).await;
    Ok(())
}
