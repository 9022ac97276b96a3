//! The row of a tunnel.

use entity::{Timestamp, tunnel};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, DbErr, EntityTrait, IntoActiveModel, QuerySelect,
};
use uuid::Uuid;

use super::{
    events::{DELETED, DISCONNECTED},
    schema::{DisconnectReason, TunnelChanged, TunnelDisconnected},
};
use crate::{
    database::Transaction,
    event::{Event, Family, Topic},
    family::{Result, new_event},
    gateway::Gateway,
    tunnel::Traffic,
    visibility::Resource,
};

/// The topic of a tunnel.
#[must_use]
pub fn topic(id: Uuid) -> Topic {
    Topic::new(Family::Tunnel, id)
}

/// A tunnel is visible to its owner.
pub(super) fn resource(row: &tunnel::Model) -> Resource {
    Resource::owned_by(row.owner_id)
}

/// Locks a tunnel that is not deleted until the transaction ends.
pub(super) async fn lock(
    tx: &Transaction,
    id: Uuid,
) -> std::result::Result<Option<tunnel::Model>, DbErr> {
    let row = tunnel::Entity::find_by_id(id).lock_exclusive().one(tx).await?;
    Ok(row.filter(|row| row.deleted_at.is_none()))
}

/// Sets the traffic of a row.
pub(super) fn set_traffic(row: &mut tunnel::ActiveModel, traffic: Traffic) {
    row.messages_received = Set(traffic.messages_received);
    row.bytes_received = Set(traffic.bytes_received);
    row.messages_sent = Set(traffic.messages_sent);
    row.bytes_sent = Set(traffic.bytes_sent);
    row.last_activity_at = Set(traffic.last_activity_at);
}

/// The traffic in a row.
pub(super) fn traffic(row: &tunnel::Model) -> Traffic {
    Traffic {
        messages_received: row.messages_received,
        bytes_received: row.bytes_received,
        messages_sent: row.messages_sent,
        bytes_sent: row.bytes_sent,
        last_activity_at: row.last_activity_at,
    }
}

/// Records that the client of a locked tunnel is away. Returns the events for the commit.
pub(super) async fn disconnect_locked(
    gateway: &Gateway,
    tx: &Transaction,
    row: tunnel::Model,
    reason: tunnel::DisconnectReason,
    traffic: Traffic,
) -> Result<Vec<Event>> {
    let topic = topic(row.id);
    let mut change = row.into_active_model();
    change.gateway = Set(None);
    change.disconnected_at = Set(Some(Timestamp::now()));
    change.disconnect_reason = Set(Some(reason));
    set_traffic(&mut change, traffic);
    let tunnel = change.update(tx).await?.into();
    let reason = DisconnectReason::from(reason);
    let event = new_event(DISCONNECTED, &TunnelDisconnected { tunnel, reason })?;
    Ok(gateway.hub.log().append(tx, &topic, vec![event]).await?)
}

/// Deletes a locked tunnel. Returns the events for the commit: a connected client is disconnected first.
pub(super) async fn delete_locked(
    gateway: &Gateway,
    tx: &Transaction,
    row: tunnel::Model,
) -> Result<Vec<Event>> {
    let id = row.id;
    let mut events = Vec::new();
    if row.gateway.is_some() {
        let live = gateway.tunnels.find(id).map(|connection| connection.traffic());
        let traffic = live.unwrap_or_else(|| traffic(&row));
        let reason = tunnel::DisconnectReason::Deleted;
        events.extend(disconnect_locked(gateway, tx, row, reason, traffic).await?);
    }
    let change = tunnel::ActiveModel {
        id: Set(id),
        deleted_at: Set(Some(Timestamp::now())),
        ..Default::default()
    };
    let tunnel = change.update(tx).await?.into();
    let event = new_event(DELETED, &TunnelChanged { tunnel })?.terminal();
    events.extend(gateway.hub.log().append(tx, &topic(id), vec![event]).await?);
    Ok(events)
}
