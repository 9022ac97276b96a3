//! Looks up who may use a tunnel.

use std::sync::Arc;

use entity::{tunnel, tunnel_share, user};
use sea_orm::{ColumnTrait, DbErr, EntityTrait, QueryFilter, sea_query::Query};
use uuid::Uuid;

use crate::{
    auth::login_session::Principal,
    event::Family,
    family::{FamilyError, Result, check_family},
    gateway::Gateway,
    json,
    tunnel::{Permissions, Policy, Revocation, Sharing, TunnelName},
};

/// A tunnel that a user may use.
#[derive(Clone, Debug)]
pub struct Access {
    /// Id of the tunnel.
    pub tunnel: Uuid,
    /// Id of its owner.
    pub owner: Uuid,
    /// What the user may do.
    pub permissions: Permissions,
    /// Whether the user still may.
    pub revocation: Revocation,
}

/// Finds a tunnel that the caller owns, or that is shared with the caller.
///
/// # Errors
/// [`FamilyError::NotFound`] if the tunnel does not exist, or if the caller may not use it.
pub async fn access(gateway: &Gateway, principal: &Principal, name: &TunnelName) -> Result<Access> {
    check_family(principal, Family::Tunnel)?;
    let user = principal.user_id;
    let (found, _) = find(gateway, name, user).await?;
    let (tunnel, owner) = (found.tunnel, found.owner);
    if user == owner {
        let (permissions, revocation) = (Permissions::OWNER, Revocation::NEVER);
        return Ok(Access { tunnel, owner, permissions, revocation });
    }
    // Looks again after the use has begun, so that the user who loses the tunnel in between does not keep it.
    let revocation = gateway.tunnels.revocations.begin(tunnel, user);
    let (_, permissions) = find(gateway, name, user).await?;
    Ok(Access { tunnel, owner, permissions, revocation })
}

async fn find(
    gateway: &Gateway,
    name: &TunnelName,
    user: Uuid,
) -> Result<(Arc<Sharing>, Permissions)> {
    let cache = &gateway.tunnels.sharing;
    let sharing = match cache.get(name, user) {
        Ok(known) => known,
        Err(began) => {
            let sharing = Arc::new(look_up(gateway, name).await?.ok_or(FamilyError::NotFound)?);
            cache.insert(name.clone(), Arc::clone(&sharing), began);
            sharing
        }
    };
    let permissions = sharing.permissions(user).ok_or(FamilyError::NotFound)?;
    Ok((sharing, permissions))
}

async fn look_up(
    gateway: &Gateway,
    name: &TunnelName,
) -> std::result::Result<Option<Sharing>, DbErr> {
    let found = tunnel::Entity::find().filter(tunnel::Column::DeletedAt.is_null());
    let found = match name {
        TunnelName::Id(id) => found.filter(tunnel::Column::Id.eq(*id)),
        TunnelName::Owned { owner, name } => {
            let owner = Query::select()
                .column(user::Column::Id)
                .from(user::Entity)
                .and_where(user::Column::Username.eq(owner))
                .to_owned();
            found
                .filter(tunnel::Column::OwnerId.in_subquery(owner))
                .filter(tunnel::Column::Name.eq(name))
        }
    };
    let row = found.one(gateway.database.reader()).await?;
    // Also without a tunnel, so that the time does not show whether there is one.
    let id = row.as_ref().map_or(Uuid::nil(), |row| row.id);
    let shares = tunnel_share::Entity::find()
        .filter(tunnel_share::Column::TunnelId.eq(id))
        .all(gateway.database.reader())
        .await?;
    Ok(row.map(|row| Sharing {
        tunnel: row.id,
        owner: row.owner_id,
        roles: shares.into_iter().map(|share| (share.user_id, share.role)).collect(),
        policy: Arc::new(policy(&row)),
    }))
}

/// The policy of a tunnel. If it cannot be read, nothing is allowed.
pub(super) fn policy(row: &tunnel::Model) -> Policy {
    let Some(stored) = &row.policy else { return Policy::default() };
    json::parse(stored.as_str().as_bytes())
        .ok()
        .and_then(|stored| serde_json::from_value(stored).ok())
        .unwrap_or_else(Policy::nothing)
}
