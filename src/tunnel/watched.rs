//! The resources whose updates clients of the modern era want from a server of the legacy era, which sends updates until
//! it is told otherwise.

use std::collections::{BTreeSet, HashMap};

use parking_lot::Mutex;

/// The URIs of the resources, with the number of subscriptions for each.
#[derive(Debug, Default)]
pub struct WatchedResources(Mutex<HashMap<String, usize>>);

impl WatchedResources {
    /// Adds a subscription for these resources. `subscribe` sends the request for each of them. Nothing else is sent in
    /// between, so that the server does not end what another subscription has just begun.
    pub fn add(&self, uris: &BTreeSet<String>, subscribe: impl Fn(&str)) {
        let mut counts = self.0.lock();
        for uri in uris {
            *counts.entry(uri.clone()).or_default() += 1;
            subscribe(uri);
        }
    }

    /// Removes a subscription for these resources. `unsubscribe` sends the request for each that no other subscription is
    /// for.
    pub fn remove(&self, uris: &BTreeSet<String>, unsubscribe: impl Fn(&str)) {
        let mut counts = self.0.lock();
        for uri in uris {
            let Some(count) = counts.get_mut(uri) else { continue };
            *count -= 1;
            if *count == 0 {
                counts.remove(uri);
                unsubscribe(uri);
            }
        }
    }

    /// Whether a subscription is for this resource.
    #[must_use]
    pub fn has(&self, uri: &str) -> bool {
        self.0.lock().contains_key(uri)
    }
}
