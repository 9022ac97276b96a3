//! The MCP server of a tunnel.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use crate::{
    family::{FamilyError, Result, tunnel},
    gateway::Gateway,
    tunnel::{CallError, Connection, Server},
};

/// Longest time that a request can wait for a tunnel client that is away.
pub const MAX_WAIT: Duration = Duration::from_mins(1);

/// Time that a request waits for the handshake with a server that has just connected.
const HANDSHAKE_TIME: Duration = Duration::from_secs(15);

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
        let exists = tunnel::check_exists(gateway, tunnel).await;
        // Another tunnel may have the name, if another gateway has deleted this one.
        exists.inspect_err(|_| gateway.tunnels.sharing.invalidate(tunnel))?;
        return Err(CallError::Disconnected.into());
    };
    let deadline = Instant::now() + wait.clamp(HANDSHAKE_TIME, MAX_WAIT);
    let server = timeout_at(deadline, connection.initialized()).await.ok().flatten();
    Ok((connection, server.ok_or(CallError::Disconnected)?))
}
