//! Metrics of refused connections and aborted responses.

use prometheus_client::{
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

use super::labels::ByLimit;

/// The limits that abort a response.
const ABORTS: [&str; 2] = ["write_timeout", "unread_bytes"];

/// The metrics of connections, each by limit.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    pub(super) refused: Family<ByLimit, Counter>,
    pub(super) aborted: Family<ByLimit, Counter>,
}

impl Metrics {
    /// Shows the metrics from the start. `limits` are those that refuse connections.
    pub(super) fn init(&self, limits: impl IntoIterator<Item = &'static str>) {
        for limit in limits {
            drop(self.refused.get_or_create(&ByLimit { limit }));
        }
        for limit in ABORTS {
            drop(self.aborted.get_or_create(&ByLimit { limit }));
        }
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "connections_refused",
            "Connections refused because a limit was reached, by limit",
            self.refused.clone(),
        );
        registry.register(
            "responses_aborted",
            "Responses aborted because their clients did not read them, by limit",
            self.aborted.clone(),
        );
    }
}
