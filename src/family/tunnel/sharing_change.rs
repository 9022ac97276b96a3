//! Changes of the shares and the policies of tunnels, for this gateway and for others.

use std::collections::HashSet;

use entity::tunnel_share;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QuerySelect};
use uuid::Uuid;

use crate::{bus::Message, family::Result, gateway::Gateway};

/// Makes a change of the shares or of the policy of a tunnel known to all gateways.
pub(super) fn announce(gateway: &Gateway, tunnel: Uuid) {
    gateway.tunnels.sharing.invalidate(tunnel);
    gateway.bus.publish(gateway.node(), Message::TunnelSharingChanged(tunnel));
}

/// Takes over a change by another gateway.
pub async fn sharing_changed(gateway: &Gateway, tunnel: Uuid) -> Result<()> {
    gateway.tunnels.sharing.invalidate(tunnel);
    end_revoked(gateway).await
}

/// Ends what users do on this gateway with tunnels that another gateway has stopped to share with them.
pub(super) async fn end_revoked(gateway: &Gateway) -> Result<()> {
    for uses in gateway.tunnels.revocations.all().chunks(500) {
        let shares = tunnel_share::Entity::find()
            .filter(tunnel_share::Column::TunnelId.is_in(uses.iter().map(|(tunnel, _)| *tunnel)))
            .filter(tunnel_share::Column::UserId.is_in(uses.iter().map(|(_, user)| *user)))
            .select_only()
            .columns([tunnel_share::Column::TunnelId, tunnel_share::Column::UserId])
            .into_tuple()
            .all(gateway.database.reader())
            .await?;
        let shares: HashSet<(Uuid, Uuid)> = shares.into_iter().collect();
        for (tunnel, user) in uses.iter().filter(|used| !shares.contains(used)) {
            gateway.tunnels.sharing.invalidate(*tunnel);
            gateway.tunnels.revoke(*tunnel, *user);
        }
    }
    Ok(())
}
