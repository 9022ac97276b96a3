//! The tunnel of a request, and its MCP server.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use crate::{
    auth::login_session::Principal,
    family::{FamilyError, Result, tunnel},
    gateway::Gateway,
    tunnel::{CallError, Connection, Server},
};

/// Longest time that a request can wait for a tunnel client that is away.
pub const MAX_WAIT: Duration = Duration::from_mins(1);

/// Time that a request waits for the handshake with a server that has just connected.
const HANDSHAKE_TIME: Duration = Duration::from_secs(15);

/// The name of a tunnel in a URL.
pub enum TunnelName<'a> {
    /// Its id.
    Id(Uuid),
    /// Its owner and its name.
    Owned {
        /// Name of the user.
        owner: &'a str,
        /// Name of the tunnel.
        name: &'a str,
    },
}

/// The id of a tunnel that the caller may use.
///
/// # Errors
/// [`FamilyError::NotFound`] if the tunnel does not exist, or if the caller may not use it.
pub async fn find(gateway: &Gateway, principal: &Principal, name: TunnelName<'_>) -> Result<Uuid> {
    let id = match name {
        TunnelName::Id(id) => id,
        TunnelName::Owned { owner, name } => {
            tunnel::find_by_name(gateway, owner, name).await?.ok_or(FamilyError::NotFound)?
        }
    };
    let resource = crate::family::find_visible(gateway, principal, &tunnel::topic(id)).await?;
    if resource.owner == Some(principal.user_id) { Ok(id) } else { Err(FamilyError::NotFound) }
}

/// The connection to the server of a tunnel. If its client is away, waits for it.
///
/// # Errors
/// [`FamilyError::Call`] if the client does not come in this time.
pub async fn connection(
    gateway: &Gateway,
    tunnel: Uuid,
    wait: Duration,
) -> Result<(Arc<Connection>, Arc<Server>)> {
    let now = Instant::now();
    let found = tokio::select! {
        found = gateway.tunnels.wait_for(tunnel, now + wait.min(MAX_WAIT)) => found,
        () = gateway.stopping() => return Err(FamilyError::ShuttingDown),
    };
    let Some(connection) = found else {
        tunnel::check_exists(gateway, tunnel).await?;
        return Err(CallError::Disconnected.into());
    };
    let deadline = Instant::now() + wait.clamp(HANDSHAKE_TIME, MAX_WAIT);
    let server = timeout_at(deadline, connection.initialized()).await.ok().flatten();
    Ok((connection, server.ok_or(CallError::Disconnected)?))
}
