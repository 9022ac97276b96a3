//! The heartbeat of tunnels: records that the clients of this gateway are connected, and finds those of gateways that
//! have ended.

use entity::tunnel;
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QuerySelect};

use super::{
    connect::alive_until,
    rows::{disconnect_locked, lock, set_traffic, traffic},
    sharing_change::end_revoked,
};
use crate::{family::Result, gateway::Gateway, tunnel::Disconnect};

/// Maximum number of lost tunnels that one run records.
const LOST_PER_RUN: u64 = 1_000;

/// Writes the traffic of the connected clients, and until when they count as connected. Closes the connections whose
/// tunnel another gateway has taken, or that was deleted. Ends what users do with tunnels that are not shared with them
/// any more. Then records the clients of gateways that have ended.
pub async fn keep_alive(gateway: &Gateway) -> Result<()> {
    gateway.tunnels.check_sessions();
    gateway.tunnels.parked.prune();
    for connection in gateway.tunnels.all() {
        let mut change =
            tunnel::ActiveModel { alive_until: Set(alive_until(gateway)), ..Default::default() };
        set_traffic(&mut change, connection.traffic());
        let kept = tunnel::Entity::update_many()
            .set(change)
            .filter(tunnel::Column::Id.eq(connection.tunnel))
            .filter(tunnel::Column::Connection.eq(connection.id))
            .filter(tunnel::Column::Gateway.eq(gateway.node()))
            .filter(tunnel::Column::DeletedAt.is_null())
            .exec(gateway.database.writer())
            .await?;
        if kept.rows_affected == 0 {
            let row = tunnel::Entity::find_by_id(connection.tunnel);
            let row = row.one(gateway.database.reader()).await?;
            connection.close(match row {
                None => Disconnect::Deleted,
                Some(row) if row.deleted_at.is_some() => Disconnect::Deleted,
                Some(row) if row.connection != connection.id => Disconnect::Replaced,
                // Another gateway has taken it for lost, because this one could not write. The client connects again.
                Some(_) => Disconnect::ConnectionLost,
            });
        }
    }
    end_revoked(gateway).await?;
    end_lost(gateway).await
}

async fn end_lost(gateway: &Gateway) -> Result<()> {
    let is_lost = |row: &tunnel::Model| {
        row.gateway.is_some()
            && row.alive_until < gateway.clock.now()
            && gateway.tunnels.find(row.id).is_none()
    };
    let found = tunnel::Entity::find()
        .filter(tunnel::Column::Gateway.is_not_null())
        .filter(tunnel::Column::AliveUntil.lt(gateway.clock.now()))
        .limit(LOST_PER_RUN)
        .all(gateway.database.reader())
        .await?;
    for row in found {
        let tx = gateway.database.begin_write().await?;
        match lock(&tx, row.id).await?.filter(is_lost) {
            Some(row) => {
                let (reason, traffic) = (tunnel::DisconnectReason::GatewayLost, traffic(&row));
                let events = disconnect_locked(gateway, &tx, row, reason, traffic).await?;
                gateway.hub.commit(tx, events).await?;
            }
            None => tx.rollback().await?,
        }
    }
    Ok(())
}
