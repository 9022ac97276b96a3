//! The tunnel clients that are connected to this gateway.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use uuid::Uuid;

use super::{connection::Connection, error::Disconnect, metrics::Metrics};

/// The connected tunnel clients.
pub struct Tunnels {
    by_tunnel: Mutex<HashMap<Uuid, Arc<Connection>>>,
    /// The metrics of all tunnels.
    pub metrics: Arc<Metrics>,
}

impl Tunnels {
    /// Starts without a client.
    #[must_use]
    pub fn new(metrics: Metrics) -> Self {
        Self { by_tunnel: Mutex::default(), metrics: Arc::new(metrics) }
    }

    /// Adds a connection. Closes the earlier connection of the same tunnel.
    pub fn insert(&self, connection: Arc<Connection>) {
        let before = self.by_tunnel.lock().insert(connection.tunnel, connection);
        if let Some(before) = before {
            before.close(Disconnect::Replaced);
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

    /// Closes the connections whose login session has ended.
    pub fn check_sessions(&self) {
        for connection in self.all() {
            connection.check_session();
        }
    }

    /// Closes every connection.
    pub fn close_all(&self, reason: Disconnect) {
        for connection in self.all() {
            connection.close(reason);
        }
    }
}
