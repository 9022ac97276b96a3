//! The tunnel clients that are connected to this gateway.

use std::{collections::HashMap, pin::pin, sync::Arc};

use parking_lot::Mutex;
use tokio::{
    sync::{Mutex as AsyncMutex, Notify},
    time::{Instant, timeout_at},
};
use uuid::Uuid;

use super::{
    connection::Connection, error::Disconnect, metrics::Metrics, parked::Parked,
    revocation::Revocations, session::Sessions, sharing::SharingCache,
};

/// The connected tunnel clients.
pub struct Tunnels {
    by_tunnel: Mutex<HashMap<Uuid, Arc<Connection>>>,
    connected: Notify,
    /// Held from the choice of a tunnel until its connection is added. Otherwise another client could take the tunnel in
    /// between, because it seems to be free.
    pub connecting: AsyncMutex<()>,
    /// The metrics of all tunnels.
    pub metrics: Arc<Metrics>,
    /// The MCP sessions that use the tunnels.
    pub sessions: Sessions,
    /// The requests that wait until their client has answered a question.
    pub parked: Arc<Parked>,
    /// Who may use which tunnel.
    pub sharing: SharingCache,
    /// The uses of tunnels by users that do not own them.
    pub revocations: Revocations,
}

impl Tunnels {
    /// Starts without a client.
    #[must_use]
    pub fn new(metrics: Metrics, sharing: SharingCache) -> Self {
        Self {
            by_tunnel: Mutex::default(),
            connected: Notify::new(),
            connecting: AsyncMutex::default(),
            metrics: Arc::new(metrics),
            sessions: Sessions::default(),
            parked: Arc::default(),
            sharing,
            revocations: Revocations::default(),
        }
    }

    /// Adds a connection. Closes the earlier connection of the same tunnel.
    pub fn insert(&self, connection: Arc<Connection>) {
        let before = self.by_tunnel.lock().insert(connection.tunnel, connection);
        if let Some(before) = before {
            before.close(Disconnect::Replaced);
        }
        self.connected.notify_waiters();
    }

    /// The connection of a tunnel. If its client is away, waits for it until the deadline.
    pub async fn wait_for(&self, tunnel: Uuid, deadline: Instant) -> Option<Arc<Connection>> {
        loop {
            // Listens before it looks, so that no connection is missed in between.
            let mut connected = pin!(self.connected.notified());
            connected.as_mut().enable();
            if let Some(connection) = self.find(tunnel) {
                return Some(connection);
            }
            timeout_at(deadline, connected).await.ok()?;
        }
    }

    /// Removes a connection, unless a later one has replaced it.
    pub fn remove(&self, connection: &Connection) {
        let mut by_tunnel = self.by_tunnel.lock();
        if by_tunnel.get(&connection.tunnel).is_some_and(|found| found.id == connection.id) {
            by_tunnel.remove(&connection.tunnel);
        }
    }

    /// The connection of a tunnel. `None` if its client is not connected to this gateway.
    #[must_use]
    pub fn find(&self, tunnel: Uuid) -> Option<Arc<Connection>> {
        self.by_tunnel.lock().get(&tunnel).filter(|found| !found.is_closed()).cloned()
    }

    /// All connections.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Connection>> {
        self.by_tunnel.lock().values().cloned().collect()
    }

    /// Ends what a user does with the tunnel of another user.
    pub fn revoke(&self, tunnel: Uuid, user: Uuid) {
        self.revocations.revoke(tunnel, user);
        self.parked.cancel(tunnel, user);
    }

    /// Closes the connections whose login session has ended.
    pub fn check_sessions(&self) {
        for connection in self.all() {
            connection.check_session();
        }
    }

    /// Closes every connection, and ends every MCP session in memory.
    pub fn close_all(&self, reason: Disconnect) {
        for connection in self.all() {
            connection.close(reason);
        }
        // After the connections, so that the streams get their last messages.
        self.sessions.end_all();
    }
}
