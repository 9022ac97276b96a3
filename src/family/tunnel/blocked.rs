//! The tunnel clients that may not connect.

use entity::{blocked_tunnel_client, user::Role};
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;

use super::schema::BlockedTunnelClient;
use crate::{
    auth::login_session::Principal,
    family::{
        FamilyError, Result,
        wire::{Page, page_limit},
    },
    gateway::Gateway,
};

/// A page of the blocked clients of the caller, oldest first. An administrator gets those of all users.
pub async fn list_blocked(
    gateway: &Gateway,
    principal: &Principal,
    (after, limit): (Option<Uuid>, Option<u64>),
) -> Result<Page<BlockedTunnelClient>> {
    let limit = page_limit(limit);
    let rows = blocked_tunnel_client::Entity::find()
        .filter(visible(principal))
        .filter(blocked_tunnel_client::Column::Id.gt(after.unwrap_or(Uuid::nil())))
        .order_by_asc(blocked_tunnel_client::Column::Id)
        .limit(limit + 1)
        .all(gateway.database.reader())
        .await?;
    Ok(Page::new(rows, limit, |row| (row.id, 0)))
}

/// Lets a blocked client connect again.
///
/// # Errors
/// [`FamilyError::NotFound`] if the entry does not exist or is not visible to the caller.
pub async fn unblock(gateway: &Gateway, principal: &Principal, id: Uuid) -> Result<()> {
    let deleted = blocked_tunnel_client::Entity::delete_many()
        .filter(visible(principal))
        .filter(blocked_tunnel_client::Column::Id.eq(id))
        .exec(gateway.database.writer())
        .await?;
    if deleted.rows_affected == 0 { Err(FamilyError::NotFound) } else { Ok(()) }
}

fn visible(principal: &Principal) -> Condition {
    let own = (principal.role < Role::Admin)
        .then(|| blocked_tunnel_client::Column::OwnerId.eq(principal.user_id));
    Condition::all().add_option(own)
}
