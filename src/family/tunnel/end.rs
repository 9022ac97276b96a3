//! Deletes the tunnels of deleted users, and those whose client stays away.

use std::time::Duration;

use entity::{blocked_tunnel_client, tunnel};
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;

use super::{
    rows::{delete_locked, topic},
    sharing_change::announce,
};
use crate::{
    family::{ORPHANS_PER_TRANSACTION, Result, existing_users, mcp_session},
    gateway::Gateway,
    tunnel::Disconnect,
};

/// Deletes the tunnels of deleted users, and their entries in the list of blocked clients.
pub(super) async fn delete_orphans(gateway: &Gateway) -> Result<()> {
    let is_orphan = tunnel::Column::OwnerId.not_in_subquery(existing_users());
    delete_all(gateway, Condition::all().add(is_orphan)).await?;
    blocked_tunnel_client::Entity::delete_many()
        .filter(blocked_tunnel_client::Column::OwnerId.not_in_subquery(existing_users()))
        .exec(gateway.database.writer())
        .await?;
    Ok(())
}

/// Deletes the tunnels whose client has been away for `tunnels.away_seconds`.
pub(super) async fn delete_away(gateway: &Gateway) -> Result<()> {
    let away = Duration::from_secs(gateway.config.tunnels.away_seconds);
    let before = gateway.clock.read().cutoff(away);
    let is_away = Condition::all()
        .add(tunnel::Column::Gateway.is_null())
        .add(tunnel::Column::DisconnectedAt.lt(before));
    delete_all(gateway, is_away).await
}

/// Deletes the tunnels that match, some at a time.
async fn delete_all(gateway: &Gateway, condition: Condition) -> Result<()> {
    let found = tunnel::Entity::find()
        .filter(tunnel::Column::DeletedAt.is_null())
        .filter(condition)
        .order_by_asc(tunnel::Column::Id)
        .limit(ORPHANS_PER_TRANSACTION);
    while found.clone().one(gateway.database.reader()).await?.is_some() {
        let tx = gateway.database.begin_write().await?;
        let (mut events, mut ids) = (Vec::new(), Vec::new());
        for row in found.clone().lock_exclusive().all(&tx).await? {
            ids.push(row.id);
            events.extend(delete_locked(gateway, &tx, row).await?);
        }
        gateway.hub.commit(tx, events).await?;
        for id in ids {
            close(gateway, id).await;
        }
    }
    Ok(())
}

/// Ends what still uses a deleted tunnel: its connection and the MCP sessions. Another gateway finds its own connection
/// with the next heartbeat.
pub(super) async fn close(gateway: &Gateway, id: Uuid) {
    gateway.visibility.invalidate(&topic(id));
    announce(gateway, id);
    if let Some(connection) = gateway.tunnels.find(id) {
        connection.close(Disconnect::Deleted);
    }
    mcp_session::close_for_tunnel(gateway, id, None).await;
}
