//! Shares a tunnel with named users.

use std::collections::HashMap;

use entity::{
    Timestamp, tunnel,
    tunnel_share::{self, ShareRole},
    user,
};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, EntityTrait, IntoActiveModel, PaginatorTrait,
    QueryFilter, QueryOrder, QuerySelect,
};
use uuid::Uuid;

use super::{
    list::existing,
    rows::{lock, topic},
    share_schema::{SharedTunnel, TunnelShare},
    sharing_change::announce,
};
use crate::{
    auth::login_session::Principal,
    database::Transaction,
    family::{
        FamilyError, Result, existing_users, find_visible, mcp_session,
        wire::{Page, page_limit},
    },
    gateway::Gateway,
};

/// Maximum number of users that a tunnel is shared with.
const MAX_SHARES: u64 = 200;

/// Shares a tunnel with a user, or changes the role of the user. Returns the share, and whether it has changed.
///
/// # Errors
/// - [`FamilyError::NotFound`] if the tunnel does not exist, was deleted, or is not visible to the caller, or if there is
///   no user with this name.
/// - [`FamilyError::Forbidden`] if the caller is an administrator who is not the owner.
/// - [`FamilyError::Conflict`] if the user is the owner.
/// - [`FamilyError::TooMany`] if the tunnel is shared with too many users.
pub async fn set_share(
    gateway: &Gateway,
    principal: &Principal,
    id: Uuid,
    (username, role): (&str, ShareRole),
) -> Result<(TunnelShare, bool)> {
    check_owner(gateway, principal, id).await?;
    let user = user_named(gateway, username).await?;
    let tx = gateway.database.begin_write().await?;
    let set = set_locked(&tx, id, &user, role).await;
    match set {
        Ok(set) => {
            tx.commit().await?;
            announce(gateway, id);
            Ok(set)
        }
        Err(error) => {
            tx.rollback().await?;
            Err(error)
        }
    }
}

async fn set_locked(
    tx: &Transaction,
    id: Uuid,
    user: &user::Model,
    role: ShareRole,
) -> Result<(TunnelShare, bool)> {
    let tunnel = lock(tx, id).await?.ok_or(FamilyError::NotFound)?;
    if tunnel.owner_id == user.id {
        return Err(FamilyError::Conflict("this user is the owner of the tunnel".into()));
    }
    let row = match tunnel_share::Entity::find_by_id((id, user.id)).one(tx).await? {
        Some(row) if row.role == role => return Ok((share(&row, user.username.clone()), false)),
        Some(row) => {
            let mut change = row.into_active_model();
            change.role = Set(role);
            change.update(tx).await?
        }
        None => {
            let of_tunnel = tunnel_share::Column::TunnelId.eq(id);
            let shares = tunnel_share::Entity::find().filter(of_tunnel).count(tx).await?;
            if shares >= MAX_SHARES {
                return Err(FamilyError::TooMany("this tunnel is shared with 200 users already"));
            }
            let (user_id, created_at) = (user.id, Timestamp::now());
            let row = tunnel_share::Model { tunnel_id: id, user_id, role, created_at };
            row.into_active_model().insert(tx).await?
        }
    };
    Ok((share(&row, user.username.clone()), true))
}

/// Stops to share a tunnel with a user. Ends the MCP sessions and the requests of the user. Returns the id of the user.
///
/// # Errors
/// [`FamilyError::NotFound`] if the tunnel does not exist, was deleted, or is not visible to the caller, or if it is not
/// shared with the user.
pub async fn delete_share(
    gateway: &Gateway,
    principal: &Principal,
    id: Uuid,
    username: &str,
) -> Result<Uuid> {
    find_visible(gateway, principal, &topic(id)).await?;
    let user = user_named(gateway, username).await?.id;
    let deleted = tunnel_share::Entity::delete_by_id((id, user));
    let deleted = deleted.exec(gateway.database.writer()).await?;
    announce(gateway, id);
    if deleted.rows_affected == 0 {
        return Err(FamilyError::NotFound);
    }
    gateway.tunnels.revoke(id, user);
    mcp_session::close_for_tunnel(gateway, id, Some(user)).await;
    Ok(user)
}

/// A page of the users that a tunnel is shared with, in the order of their ids.
///
/// # Errors
/// [`FamilyError::NotFound`] if the tunnel does not exist, was deleted, or is not visible to the caller.
pub async fn list_shares(
    gateway: &Gateway,
    principal: &Principal,
    id: Uuid,
    (after, limit): (Option<Uuid>, Option<u64>),
) -> Result<Page<TunnelShare>> {
    find_visible(gateway, principal, &topic(id)).await?;
    existing(gateway, id).await?;
    let limit = page_limit(limit);
    let shares = tunnel_share::Entity::find()
        .filter(tunnel_share::Column::TunnelId.eq(id))
        .filter(tunnel_share::Column::UserId.gt(after.unwrap_or(Uuid::nil())))
        .order_by_asc(tunnel_share::Column::UserId)
        .limit(limit + 1)
        .find_also_related(user::Entity)
        .all(gateway.database.reader())
        .await?;
    let shares = shares.into_iter().filter_map(|(row, user)| Some(share(&row, user?.username)));
    Ok(Page::new(shares.collect(), limit, |share: &TunnelShare| (share.user, 0)))
}

/// Checks that the caller owns a tunnel. An administrator must not be able to use the MCP servers of others.
///
/// # Errors
/// [`FamilyError::Forbidden`] for an administrator, [`FamilyError::NotFound`] for every other user.
pub(super) async fn check_owner(gateway: &Gateway, principal: &Principal, id: Uuid) -> Result<()> {
    let resource = find_visible(gateway, principal, &topic(id)).await?;
    if resource.owner == Some(principal.user_id) {
        return Ok(());
    }
    Err(FamilyError::Forbidden("only the owner of a tunnel may share it and set its policy"))
}

fn share(row: &tunnel_share::Model, username: String) -> TunnelShare {
    TunnelShare {
        user: row.user_id,
        username,
        role: row.role.into(),
        created_at: row.created_at.datetime(),
    }
}

async fn user_named(gateway: &Gateway, username: &str) -> Result<user::Model> {
    let named = user::Entity::find().filter(user::Column::Username.eq(username));
    named.one(gateway.database.reader()).await?.ok_or(FamilyError::NotFound)
}

/// A page of the tunnels of other users that are shared with the caller, oldest first.
pub async fn list_shared(
    gateway: &Gateway,
    principal: &Principal,
    (after, limit): (Option<Uuid>, Option<u64>),
) -> Result<Page<SharedTunnel>> {
    let limit = page_limit(limit);
    let shares = tunnel_share::Entity::find()
        .filter(tunnel_share::Column::UserId.eq(principal.user_id))
        .filter(tunnel_share::Column::TunnelId.gt(after.unwrap_or(Uuid::nil())))
        .order_by_asc(tunnel_share::Column::TunnelId)
        .limit(limit + 1)
        .find_also_related(tunnel::Entity)
        .filter(tunnel::Column::DeletedAt.is_null())
        .filter(tunnel::Column::OwnerId.in_subquery(existing_users()))
        .all(gateway.database.reader())
        .await?;
    let owners = shares.iter().filter_map(|(_, tunnel)| Some(tunnel.as_ref()?.owner_id));
    let owners: HashMap<Uuid, String> = user::Entity::find()
        .filter(user::Column::Id.is_in(owners))
        .all(gateway.database.reader())
        .await?
        .into_iter()
        .map(|owner| (owner.id, owner.username))
        .collect();
    let tunnels = shares.into_iter().filter_map(|(share, tunnel)| {
        let tunnel = tunnel?;
        let owner = owners.get(&tunnel.owner_id)?;
        Some(SharedTunnel::new(tunnel, owner.clone(), share.role))
    });
    Ok(Page::new(tunnels.collect(), limit, |tunnel: &SharedTunnel| (tunnel.id, 0)))
}
