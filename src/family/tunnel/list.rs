//! Lists tunnels, and reads one.

use entity::{tunnel, user::Role};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;

use super::{rows::topic, schema::Tunnel};
use crate::{
    auth::login_session::Principal,
    family::{
        FamilyError, Result, find_visible,
        wire::{Page, page_limit},
    },
    gateway::Gateway,
};

/// A page of the tunnels of the caller, oldest first. An administrator gets the tunnels of all users.
pub async fn list(
    gateway: &Gateway,
    principal: &Principal,
    (after, limit): (Option<Uuid>, Option<u64>),
) -> Result<Page<Tunnel>> {
    let limit = page_limit(limit);
    let mut query = tunnel::Entity::find()
        .filter(tunnel::Column::DeletedAt.is_null())
        .filter(tunnel::Column::Id.gt(after.unwrap_or(Uuid::nil())))
        .order_by_asc(tunnel::Column::Id)
        .limit(limit + 1);
    if principal.role < Role::Admin {
        query = query.filter(tunnel::Column::OwnerId.eq(principal.user_id));
    }
    let rows = query.all(gateway.database.reader()).await?;
    let rows = rows.into_iter().map(|row| live(gateway, row)).collect();
    Ok(Page::new(rows, limit, |row| (row.id, 0)))
}

/// A tunnel that the caller may see.
///
/// # Errors
/// [`FamilyError::NotFound`] if the tunnel does not exist or is not visible to the caller.
pub async fn get(gateway: &Gateway, principal: &Principal, id: Uuid) -> Result<Tunnel> {
    find_visible(gateway, principal, &topic(id)).await?;
    Ok(live(gateway, existing(gateway, id).await?).into())
}

/// The row of a tunnel that is not deleted.
pub(super) async fn existing(gateway: &Gateway, id: Uuid) -> Result<tunnel::Model> {
    let row = tunnel::Entity::find_by_id(id).one(gateway.database.reader()).await?;
    row.filter(|row| row.deleted_at.is_none()).ok_or(FamilyError::NotFound)
}

/// The row with the traffic until now. The row itself has it as of the last heartbeat.
fn live(gateway: &Gateway, mut row: tunnel::Model) -> tunnel::Model {
    if let Some(connection) = gateway.tunnels.find(row.id) {
        let traffic = connection.traffic();
        row.messages_received = traffic.messages_received;
        row.bytes_received = traffic.bytes_received;
        row.messages_sent = traffic.messages_sent;
        row.bytes_sent = traffic.bytes_sent;
        row.last_activity_at = traffic.last_activity_at;
    }
    row
}

/// Checks that a tunnel was not deleted.
///
/// # Errors
/// [`FamilyError::NotFound`].
pub async fn check_exists(gateway: &Gateway, id: Uuid) -> Result<()> {
    existing(gateway, id).await.map(drop)
}
