//! Limits of open connections: in total, and for each address until a request has authenticated.
//!
//! A connection counts from its start until it is closed, also while it carries a stream. After a request has
//! authenticated, its connection no longer counts for its address. So any number of users can share an address.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, OnceLock},
};

use ipnet::IpNet;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::client_network::client_network;

/// The configured limits.
#[derive(Clone, Debug)]
pub struct ConnectionLimits {
    /// Maximum number of open connections.
    pub total: u32,
    /// Maximum number of open connections from one address without an authenticated request. An IPv6 /64 network counts
    /// as one address.
    pub per_address: u32,
    /// Networks that `per_address` does not apply to.
    pub exempt: Vec<IpNet>,
}

/// The limit that refused a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionLimit {
    /// [`ConnectionLimits::total`] was reached.
    Total,
    /// [`ConnectionLimits::per_address`] was reached.
    Address,
}

impl ConnectionLimit {
    /// All limits.
    pub const ALL: [Self; 2] = [Self::Total, Self::Address];

    /// The name of the limit in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Total => "connections",
            Self::Address => "connections-address",
        }
    }

    /// The key of the limit in the configuration.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Total => "limits.connections",
            Self::Address => "limits.connections_per_address",
        }
    }
}

/// All open connections.
#[derive(Debug)]
pub struct Connections {
    limits: ConnectionLimits,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    total: u32,
    /// Number of connections without an authenticated request, by address.
    unauthenticated: HashMap<IpAddr, u32>,
}

impl Connections {
    /// Starts with no open connection.
    #[must_use]
    pub fn new(limits: ConnectionLimits) -> Arc<Self> {
        Arc::new(Self { limits, open: Mutex::default() })
    }

    /// Counts a new connection from this address.
    ///
    /// # Errors
    /// [`ConnectionLimit::Total`] if the maximum number of connections is open. [`ConnectionLimit::Address`] if the
    /// address has too many connections without an authenticated request, and is not exempt.
    pub fn admit(self: &Arc<Self>, address: IpAddr) -> Result<ConnectionPermit, ConnectionLimit> {
        let canonical = address.to_canonical();
        let is_exempt = self.limits.exempt.iter().any(|network| network.contains(&canonical));
        let address = (!is_exempt).then(|| client_network(address));
        let mut open = self.open.lock();
        if open.total >= self.limits.total {
            return Err(ConnectionLimit::Total);
        }
        if let Some(address) = address {
            let count = open.unauthenticated.get(&address).copied().unwrap_or_default();
            if count >= self.limits.per_address {
                return Err(ConnectionLimit::Address);
            }
            open.unauthenticated.insert(address, count + 1);
        }
        open.total += 1;
        Ok(ConnectionPermit { connections: Arc::clone(self), address: Mutex::new(address) })
    }

    /// Number of open connections.
    #[must_use]
    pub fn total(&self) -> u32 {
        self.open.lock().total
    }
}

/// An open connection. It counts until this value is dropped.
#[derive(Debug)]
pub struct ConnectionPermit {
    connections: Arc<Connections>,
    /// Address that the connection counts for. Absent if the address is exempt, or after a request has authenticated.
    address: Mutex<Option<IpAddr>>,
}

impl ConnectionPermit {
    /// Call this after a request has authenticated. The connection then no longer counts for its address.
    pub fn mark_authenticated(&self) {
        if let Some(address) = self.address.lock().take() {
            self.connections.open.lock().remove_unauthenticated(address);
        }
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut open = self.connections.open.lock();
        open.total -= 1;
        if let Some(address) = self.address.get_mut().take() {
            open.remove_unauthenticated(address);
        }
    }
}

impl Open {
    fn remove_unauthenticated(&mut self, address: IpAddr) {
        if let Some(count) = self.unauthenticated.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.unauthenticated.remove(&address);
            }
        }
    }
}

/// State that a request and the server share about their connection.
#[derive(Debug)]
pub struct ClientConnection {
    /// The counted connection.
    pub permit: Arc<ConnectionPermit>,
    /// Cancelled when the client closes its sending side. A client that disconnects looks the same at first.
    pub half_closed: CancellationToken,
    user: OnceLock<Uuid>,
}

impl ClientConnection {
    /// Creates the state for a request that is not authenticated yet.
    #[must_use]
    pub fn new(permit: Arc<ConnectionPermit>, half_closed: CancellationToken) -> Self {
        Self { permit, half_closed, user: OnceLock::new() }
    }

    /// Records the authenticated user.
    pub fn set_user(&self, user: Uuid) {
        self.permit.mark_authenticated();
        // A request has only one user, so later calls change nothing.
        let _ = self.user.set(user);
    }

    /// The authenticated user. `None` before the authentication.
    #[must_use]
    pub fn user(&self) -> Option<Uuid> {
        self.user.get().copied()
    }
}
