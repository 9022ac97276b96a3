//! Metrics of connections: which were refused, and which answers were given up.

use prometheus_client::{
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

use super::labels::ByLimit;

/// See above.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    pub(super) refused: Family<ByLimit, Counter>,
    pub(super) cut: Family<ByLimit, Counter>,
}

impl Metrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "connections_refused",
            "Connections closed at once because as many were open as allowed, by limit",
            self.refused.clone(),
        );
        registry.register(
            "answers_cut",
            "Answers given up because their clients did not read them, by limit",
            self.cut.clone(),
        );
    }
}
