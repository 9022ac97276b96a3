//! Limits of open connections: in total, and from one address while they are not authenticated.
//!
//! A connection counts from the moment it is accepted until it is closed, also while it carries a stream. After
//! a request has authenticated, its connection no longer counts for its address. So any number of users can
//! share an address.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, OnceLock},
};

use ipnet::IpNet;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::customer::customer;

/// The configured limits.
#[derive(Clone, Debug)]
pub struct ConnectionLimits {
    /// Connections in total.
    pub total: u32,
    /// Connections from one address that are not authenticated. One IPv6 /64 is one address.
    pub per_address: u32,
    /// Networks without the limit `per_address`.
    pub exempt: Vec<IpNet>,
}

/// The limit that refused a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// [`ConnectionLimits::total`].
    Total,
    /// [`ConnectionLimits::per_address`].
    Address,
}

impl Full {
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
    /// Connections that are not authenticated, by address.
    unknown: HashMap<IpAddr, u32>,
}

impl Connections {
    /// Starts with no open connection.
    #[must_use]
    pub fn new(limits: ConnectionLimits) -> Arc<Self> {
        Arc::new(Self { limits, open: Mutex::default() })
    }

    /// Counts a connection from this address.
    pub fn admit(self: &Arc<Self>, address: IpAddr) -> Result<Admission, Full> {
        let canonical = address.to_canonical();
        let is_exempt = self.limits.exempt.iter().any(|network| network.contains(&canonical));
        let address = (!is_exempt).then(|| customer(address));
        let mut open = self.open.lock();
        if open.total >= self.limits.total {
            return Err(Full::Total);
        }
        if let Some(address) = address {
            let count = open.unknown.get(&address).copied().unwrap_or_default();
            if count >= self.limits.per_address {
                return Err(Full::Address);
            }
            open.unknown.insert(address, count + 1);
        }
        open.total += 1;
        Ok(Admission { connections: Arc::clone(self), address: Mutex::new(address) })
    }

    /// Number of open connections.
    #[must_use]
    pub fn total(&self) -> u32 {
        self.open.lock().total
    }
}

/// An open connection, counted as long as the value lives.
#[derive(Debug)]
pub struct Admission {
    connections: Arc<Connections>,
    /// The address that the connection counts for.
    address: Mutex<Option<IpAddr>>,
}

impl Admission {
    /// A request on it has authenticated, so it no longer counts for its address.
    pub fn identify(&self) {
        if let Some(address) = self.address.lock().take() {
            self.connections.open.lock().forget(address);
        }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut open = self.connections.open.lock();
        open.total -= 1;
        if let Some(address) = self.address.get_mut().take() {
            open.forget(address);
        }
    }
}

impl Open {
    fn forget(&mut self, address: IpAddr) {
        if let Some(count) = self.unknown.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.unknown.remove(&address);
            }
        }
    }
}

/// State that a request and the server share about their connection.
#[derive(Debug)]
pub struct Origin {
    /// The counted connection.
    pub admission: Arc<Admission>,
    /// Cancelled when the client closes its sending side. A client that leaves looks like that at first.
    pub half_closed: CancellationToken,
    user: OnceLock<Uuid>,
}

impl Origin {
    /// For a request that is not authenticated yet.
    #[must_use]
    pub fn new(admission: Arc<Admission>, half_closed: CancellationToken) -> Self {
        Self { admission, half_closed, user: OnceLock::new() }
    }

    /// Records the authenticated user.
    pub fn identify(&self, user: Uuid) {
        self.admission.identify();
        // A request has only one user, so later calls change nothing.
        let _ = self.user.set(user);
    }

    /// The authenticated user.
    #[must_use]
    pub fn user(&self) -> Option<Uuid> {
        self.user.get().copied()
    }
}
