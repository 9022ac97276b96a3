//! The users of a tunnel: its owner, and the users that it is shared with.

use std::{collections::HashMap, sync::Arc, time::Duration};

use entity::tunnel_share::ShareRole;
use prometheus_client::metrics::counter::Counter;
use uuid::Uuid;

use super::policy::{Permissions, Policy};
use crate::{
    cache::{Cache, LookupStart},
    clock::Clock,
};

/// Maximum number of tunnels in the cache.
const CAPACITY: usize = 10_000;

/// The name of a tunnel in a URL.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TunnelName {
    /// Its id.
    Id(Uuid),
    /// Its owner and its name.
    Owned {
        /// Name of the user.
        owner: String,
        /// Name of the tunnel.
        name: String,
    },
}

/// The users of a tunnel, and their permissions.
#[derive(Debug)]
pub struct Sharing {
    /// Id of the tunnel.
    pub tunnel: Uuid,
    /// Id of the owner.
    pub owner: Uuid,
    /// The users that it is shared with.
    pub roles: HashMap<Uuid, ShareRole>,
    /// The limits of these users.
    pub policy: Arc<Policy>,
}

impl Sharing {
    /// The permissions of a user. `None` if the user may not use the tunnel at all.
    #[must_use]
    pub fn permissions(&self, user: Uuid) -> Option<Permissions> {
        if user == self.owner {
            return Some(Permissions::OWNER);
        }
        let role = *self.roles.get(&user)?;
        Some(Permissions::new(role, Arc::clone(&self.policy)))
    }
}

/// The users of tunnels, as they were looked up a moment ago. Only answers "may use". For every other user, the
/// database is asked again. So a tunnel can be used as soon as it is shared, whichever gateway has shared it.
#[derive(Debug)]
pub struct SharingCache(Cache<TunnelName, Arc<Sharing>>);

impl SharingCache {
    /// Creates a cache whose entries expire after `life`. A change by another gateway takes effect after `life` at the
    /// latest. `counters` are hits and misses.
    #[must_use]
    pub fn new(life: Duration, counters: [Counter; 2], clock: &Arc<Clock>) -> Self {
        Self(Cache::new(life, CAPACITY, counters, clock))
    }

    /// The cached entry of a tunnel that this user may use, or the start of a lookup.
    pub fn get(&self, name: &TunnelName, user: Uuid) -> Result<Arc<Sharing>, LookupStart> {
        self.0.get(name, |sharing| sharing.permissions(user).is_some())
    }

    /// Caches the result of a lookup.
    pub fn insert(&self, name: TunnelName, sharing: Arc<Sharing>, began: LookupStart) {
        self.0.insert(name, sharing, began);
    }

    /// Removes a tunnel after a change was committed.
    pub fn invalidate(&self, tunnel: Uuid) {
        self.0.invalidate_where(|sharing| sharing.tunnel == tunnel);
    }
}
