//! Metrics of connections: which were refused, and which answers were given up.

use prometheus_client::{
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

use super::{ByLimit, Telemetry};

/// See above.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    refused: Family<ByLimit, Counter>,
    cut: Family<ByLimit, Counter>,
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

impl Telemetry {
    /// A connection was closed because a limit was reached: `connections_refused_total`.
    pub fn connection_refused(&self, limit: &'static str) {
        self.connections.refused.get_or_create(&ByLimit { limit }).inc();
    }

    /// An answer was given up because its client did not read it: `answers_cut_total`.
    pub fn answer_cut(&self, limit: &'static str) {
        self.connections.cut.get_or_create(&ByLimit { limit }).inc();
    }
}
