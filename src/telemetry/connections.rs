//! Metrics of refused connections and aborted responses.

use prometheus_client::{
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

use super::labels::ByLimit;

/// The metrics of connections, each by limit.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    pub(super) refused: Family<ByLimit, Counter>,
    pub(super) aborted: Family<ByLimit, Counter>,
}

impl Metrics {
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
