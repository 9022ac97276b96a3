//! The last use of each API key, and the networks that it was used from.
//!
//! A busy key must not be written with every request. So a gateway writes only the first use of each address on a day.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    time::Duration,
};

use entity::{Timestamp, api_key};
use parking_lot::Mutex;
use uuid::Uuid;

/// Maximum number of addresses of one key that are remembered on a day. Uses from further addresses are not recorded.
const MAX_ADDRESSES: usize = 1_000;

/// Maximum number of networks in the row of a key.
const MAX_NETWORKS: usize = 64;

const DAY: Duration = Duration::from_hours(24);

/// The uses that were recorded today.
#[derive(Default)]
pub(super) struct RecordedUses {
    state: Mutex<(i64, HashMap<Uuid, HashSet<IpAddr>>)>,
}

impl RecordedUses {
    /// Whether the use is the first one of this key from this address on this day, and has to be recorded.
    pub(super) fn is_first(&self, key: Uuid, address: IpAddr, now: Timestamp) -> bool {
        let mut state = self.state.lock();
        let (day, uses) = &mut *state;
        let today = start_of_day(now).0;
        if *day != today {
            *day = today;
            uses.clear();
        }
        let addresses = uses.entry(key).or_default();
        addresses.len() < MAX_ADDRESSES && addresses.insert(address)
    }

    /// Forgets a use that could not be recorded.
    pub(super) fn forget(&self, key: Uuid, address: IpAddr) {
        if let Some(addresses) = self.state.lock().1.get_mut(&key) {
            addresses.remove(&address);
        }
    }
}

/// The start of the day of `at`, UTC.
pub(super) fn start_of_day(at: Timestamp) -> Timestamp {
    let day = i64::try_from(DAY.as_micros()).unwrap_or(i64::MAX);
    Timestamp(at.0.div_euclid(day) * day)
}

/// The networks of a key after a use from `network`. `None` if the key was used from there before.
pub(super) fn with_network(key: &api_key::Model, network: &str) -> Option<String> {
    let known = || key.networks.split(',').filter(|known| !known.is_empty());
    if known().any(|known| known == network) {
        return None;
    }
    let networks: Vec<&str> = [network].into_iter().chain(known()).take(MAX_NETWORKS).collect();
    Some(networks.join(","))
}
