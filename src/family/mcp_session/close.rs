//! Closes an MCP session on request.

use uuid::Uuid;

use super::{
    end::{close_locked, lock_open},
    rows::topic,
    schema::CloseReason,
};
use crate::{
    auth::login_session::Principal,
    family::{FamilyError, Result, find_visible},
    gateway::Gateway,
    visibility::Resource,
};

/// Closes a session on request of its owner or an administrator. Changes nothing if the session is closed already.
///
/// # Errors
/// [`FamilyError::NotFound`] if the session does not exist, or if the caller is neither its owner nor an administrator.
/// The agent that serves the session may not close it either.
pub async fn close(gateway: &Gateway, principal: &Principal, id: Uuid) -> Result<()> {
    let resource = find_visible(gateway, principal, &topic(id)).await?;
    let Principal { user_id, role, .. } = *principal;
    if !(Resource { agent: None, ..resource }).is_visible_to(user_id, role) {
        return Err(FamilyError::NotFound);
    }
    let tx = gateway.database.begin_write().await?;
    if let Some(row) = lock_open(&tx, id).await? {
        let events = close_locked(gateway, &tx, row, CloseReason::Deleted).await?;
        gateway.hub.commit(tx, events).await?;
        gateway.tunnels.sessions.end(id);
    }
    Ok(())
}

/// Closes a session whose client has disconnected, if its transport cannot resume.
pub async fn close_disconnected(gateway: &Gateway, id: Uuid) -> Result<()> {
    gateway.tunnels.sessions.end(id);
    let tx = gateway.database.begin_write().await?;
    let Some(row) = lock_open(&tx, id).await? else { return Ok(tx.rollback().await?) };
    let events = close_locked(gateway, &tx, row, CloseReason::Disconnected).await?;
    Ok(gateway.hub.commit(tx, events).await?)
}
