//! The metrics of all tunnels of a gateway.

use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

use super::error::CallError;

/// Upper bounds of the buckets of a request, in seconds. A tool can run for minutes.
const BOUNDS: [f64; 11] =
    [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.25, 1.0, 10.0, 60.0, 600.0];

/// The outcome of a request that the MCP server answered.
const ANSWERED: &str = "answered";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByDirection {
    direction: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByOutcome {
    outcome: &'static str,
}

/// The metrics of all tunnels.
#[derive(Debug)]
pub struct Metrics {
    connected: Gauge,
    in_flight: Gauge,
    requests: Family<ByOutcome, Counter>,
    latency: Histogram,
    messages: Family<ByDirection, Counter>,
    bytes: Family<ByDirection, Counter>,
    dropped: Counter,
}

impl Metrics {
    /// Registers the metrics.
    #[must_use]
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            connected: Gauge::default(),
            in_flight: Gauge::default(),
            requests: Family::default(),
            latency: Histogram::new(BOUNDS),
            messages: Family::default(),
            bytes: Family::default(),
            dropped: Counter::default(),
        };
        let r = registry;
        r.register("tunnels_connected", "Tunnel clients connected now", metrics.connected.clone());
        r.register(
            "tunnel_requests_in_flight",
            "Requests that wait for the answer of an MCP server now",
            metrics.in_flight.clone(),
        );
        r.register(
            "tunnel_requests",
            "Requests through tunnels that have ended, by outcome",
            metrics.requests.clone(),
        );
        r.register_with_unit(
            "tunnel_request",
            "Time to the answer of the MCP server",
            Unit::Seconds,
            metrics.latency.clone(),
        );
        r.register(
            "tunnel_messages",
            "Messages through tunnels, by direction: from or to the MCP server",
            metrics.messages.clone(),
        );
        r.register(
            "tunnel_bytes",
            "Bytes of messages through tunnels, by direction: from or to the MCP server",
            metrics.bytes.clone(),
        );
        r.register(
            "tunnel_messages_dropped",
            "Messages of MCP servers that belong to no request and came faster than they could be published",
            metrics.dropped.clone(),
        );
        for direction in ["from", "to"] {
            drop(metrics.messages.get_or_create(&ByDirection { direction }));
            drop(metrics.bytes.get_or_create(&ByDirection { direction }));
        }
        for outcome in CallError::OUTCOMES.into_iter().chain([ANSWERED]) {
            drop(metrics.requests.get_or_create(&ByOutcome { outcome }));
        }
        metrics
    }

    /// A client has connected.
    pub fn connected(&self) {
        self.connected.inc();
    }

    /// A client has disconnected.
    pub fn disconnected(&self) {
        self.connected.dec();
    }

    /// Messages that belong to no request were dropped.
    pub fn dropped(&self, messages: u64) {
        self.dropped.inc_by(messages);
    }

    pub(super) fn opened(&self) {
        self.in_flight.inc();
    }

    /// A request in flight has ended. `error` is absent if the server answered.
    pub(super) fn closed(&self, error: Option<&CallError>, took: Duration) {
        self.in_flight.dec();
        self.outcome(error);
        if error.is_none() {
            self.latency.observe(took.as_secs_f64());
        }
    }

    /// A request was refused before it was in flight.
    pub(super) fn refused(&self, error: &CallError) {
        self.outcome(Some(error));
    }

    fn outcome(&self, error: Option<&CallError>) {
        let outcome = error.map_or(ANSWERED, CallError::outcome);
        self.requests.get_or_create(&ByOutcome { outcome }).inc();
    }

    pub(super) fn received(&self, bytes: usize) {
        self.count("from", bytes);
    }

    pub(super) fn sent(&self, bytes: usize) {
        self.count("to", bytes);
    }

    fn count(&self, direction: &'static str, bytes: usize) {
        let labels = ByDirection { direction };
        self.messages.get_or_create(&labels).inc();
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.bytes.get_or_create(&labels).inc_by(bytes);
    }
}
