//! The metrics of one gateway.

use std::{sync::atomic::AtomicU64, time::Duration};

use prometheus_client::{
    encoding::text,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

use super::{
    build_info, connections,
    exposition::{self, MetricsFormat},
    jobs,
    known_labels::{AUTHENTICATIONS, KnownLabels},
    labels::{ByCache, ByFamily, ByLimit, ByOperation, ByOutcome, ByReason, ByResource},
    latency::latency,
    percentiles::Latencies,
    process::ProcessMetrics,
    sink,
};

type Latency<Labels> = Family<Labels, Histogram>;

/// The metrics of one gateway.
#[derive(Debug)]
pub struct Telemetry {
    registry: Registry,
    streams_open: Family<ByFamily, Gauge>,
    streams_opened: Family<ByFamily, Counter>,
    streams_closed: Family<ByReason, Counter>,
    slots_refused: Counter,
    claims_waiting: Gauge,
    quota_refused: Family<ByLimit, Counter>,
    events_published: Family<ByFamily, Counter>,
    events_delivered: Family<ByFamily, Counter>,
    events_dropped: Family<ByFamily, Counter>,
    catch_ups: Family<ByFamily, Counter>,
    resets: Family<ByReason, Counter>,
    cache_lookups: Family<ByCache, Counter>,
    authentications: Family<ByOutcome, Counter>,
    authentication: Histogram,
    login_session_validation: Histogram,
    lookup: Latency<ByResource>,
    commit: Histogram,
    http_request: Latency<ByOperation>,
    clock_jumps: Counter,
    clock_offset: Gauge<f64, AtomicU64>,
    connections: connections::Metrics,
    jobs: jobs::JobMetrics,
    /// The latencies that have a target.
    pub latencies: Latencies,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self::new()
    }
}

impl Telemetry {
    /// Starts with all metrics at zero. A metric with labels appears in [`Telemetry::render`] after its first use, or
    /// after [`Telemetry::init`].
    #[must_use]
    pub fn new() -> Self {
        let mut telemetry = Self {
            registry: Registry::default(),
            streams_open: Family::default(),
            streams_opened: Family::default(),
            streams_closed: Family::default(),
            slots_refused: Counter::default(),
            claims_waiting: Gauge::default(),
            quota_refused: Family::default(),
            events_published: Family::default(),
            events_delivered: Family::default(),
            events_dropped: Family::default(),
            catch_ups: Family::default(),
            resets: Family::default(),
            cache_lookups: Family::default(),
            authentications: Family::default(),
            authentication: latency(),
            login_session_validation: latency(),
            lookup: Family::new_with_constructor(latency),
            commit: latency(),
            http_request: Family::new_with_constructor(latency),
            clock_jumps: Counter::default(),
            clock_offset: Gauge::default(),
            connections: connections::Metrics::default(),
            jobs: jobs::JobMetrics::default(),
            latencies: Latencies::default(),
        };
        telemetry.register();
        telemetry
    }

    /// Registers names and help texts. The encoder adds `streamgate_`, the unit, `_total` and the full stop.
    fn register(&mut self) {
        self.registry.register_collector(Box::new(ProcessMetrics));
        let r = self.registry.sub_registry_with_prefix("streamgate");
        build_info::register(r);
        r.register("streams_open", "Streams open now", self.streams_open.clone());
        r.register("streams_opened", "Streams opened", self.streams_opened.clone());
        r.register("streams_closed", "Streams closed, by reason", self.streams_closed.clone());
        r.register(
            "slots_refused",
            "Streams refused because the user had too many open",
            self.slots_refused.clone(),
        );
        r.register("claims_waiting", "Claims that wait for work now", self.claims_waiting.clone());
        r.register(
            "quota_refused",
            "Requests refused because a rate was exceeded, by limit",
            self.quota_refused.clone(),
        );
        r.register(
            "events_published",
            "Events committed to the event log",
            self.events_published.clone(),
        );
        r.register(
            "events_delivered",
            "Events delivered to subscribers, one per event and subscriber",
            self.events_delivered.clone(),
        );
        r.register(
            "events_dropped",
            "Events dropped for a subscriber by its overflow strategy",
            self.events_dropped.clone(),
        );
        r.register(
            "catch_ups",
            "Reads of the event log for a subscriber or a topic that missed events",
            self.catch_ups.clone(),
        );
        r.register(
            "resets",
            "Streams that started over with a snapshot because of their cursor, by reason",
            self.resets.clone(),
        );
        r.register(
            "cache_lookups",
            "Look-ups in a cache, by cache and outcome",
            self.cache_lookups.clone(),
        );
        r.register(
            "authentications",
            "Credentials checked, by outcome",
            self.authentications.clone(),
        );
        r.register(
            "log_lines_dropped",
            "Log lines that could not be written, of the whole process",
            sink::dropped(),
        );
        r.register_with_unit(
            "authentication",
            "Time to authenticate a request, from the credential to the login session",
            Unit::Seconds,
            self.authentication.clone(),
        );
        r.register_with_unit(
            "login_session_validation",
            "Time to validate the login session of a token",
            Unit::Seconds,
            self.login_session_validation.clone(),
        );
        r.register_with_unit(
            "lookup",
            "Time to look up whether a resource exists and is visible",
            Unit::Seconds,
            self.lookup.clone(),
        );
        r.register_with_unit(
            "commit",
            "Time to commit a transaction that writes events",
            Unit::Seconds,
            self.commit.clone(),
        );
        r.register_with_unit(
            "http_request",
            "Time to the head of the response, by operation and status",
            Unit::Seconds,
            self.http_request.clone(),
        );
        r.register("clock_jumps", "Detected jumps of the wall clock", self.clock_jumps.clone());
        r.register_with_unit(
            "clock_offset",
            "Time by which the wall clock is ahead of the clock of leases and sweeps",
            Unit::Seconds,
            self.clock_offset.clone(),
        );
        self.connections.register(r);
        self.jobs.register(r);
    }

    /// The registry, for engines that register their own metrics.
    pub fn registry(&mut self) -> &mut Registry {
        self.registry.sub_registry_with_prefix("streamgate")
    }

    /// Shows the counters and histograms with these labels from the start. The latency of an operation is shown after
    /// its first request, because operations, statuses and buckets together are thousands of lines.
    pub fn init(&self, known: &KnownLabels) {
        for &family in &known.families {
            let labels = ByFamily { family };
            drop(self.streams_open.get_or_create(&labels));
            for counters in [
                &self.streams_opened,
                &self.events_published,
                &self.events_delivered,
                &self.events_dropped,
                &self.catch_ups,
            ] {
                drop(counters.get_or_create(&labels));
            }
            for &reason in &known.ends {
                drop(self.streams_closed.get_or_create(&ByReason { family, reason }));
            }
            for &reason in &known.resets {
                drop(self.resets.get_or_create(&ByReason { family, reason }));
            }
            drop(self.lookup.get_or_create(&ByResource { resource: family }));
        }
        for &limit in &known.quotas {
            drop(self.quota_refused.get_or_create(&ByLimit { limit }));
        }
        for outcome in AUTHENTICATIONS {
            drop(self.authentications.get_or_create(&ByOutcome { outcome }));
        }
        self.connections.init(known.connection_limits.iter().copied());
    }

    /// All metrics as text.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "writing to a String does not fail")]
    pub fn render(&self, format: MetricsFormat) -> String {
        let mut out = String::new();
        text::encode(&mut out, &self.registry).expect("writing to a String does not fail");
        match format {
            MetricsFormat::OpenMetrics => out,
            MetricsFormat::Prometheus => exposition::prometheus(&out),
        }
    }

    /// Counts an opened stream: `streams_open`, `streams_opened_total`.
    pub fn stream_opened(&self, family: &'static str) {
        self.streams_open.get_or_create(&ByFamily { family }).inc();
        self.streams_opened.get_or_create(&ByFamily { family }).inc();
    }

    /// Counts a closed stream: `streams_open`, `streams_closed_total`. Call it once per
    /// [`Telemetry::stream_opened`], whatever the reason for the end.
    pub fn stream_closed(&self, family: &'static str, reason: &'static str) {
        self.streams_open.get_or_create(&ByFamily { family }).dec();
        self.streams_closed.get_or_create(&ByReason { family, reason }).inc();
    }

    /// A claim starts to wait for work, or stops waiting: `claims_waiting`.
    pub fn claim_waits(&self, waits: bool) {
        if waits {
            self.claims_waiting.inc();
        } else {
            self.claims_waiting.dec();
        }
    }

    /// Counts a stream that was refused because the user has too many open: `slots_refused_total`.
    pub fn slot_refused(&self) {
        self.slots_refused.inc();
    }

    /// Counts a request that was refused because a rate was exceeded: `quota_refused_total`.
    pub fn quota_refused(&self, limit: &'static str) {
        self.quota_refused.get_or_create(&ByLimit { limit }).inc();
    }

    /// Counts committed events: `events_published_total`.
    pub fn published(&self, family: &'static str, events: u64) {
        self.events_published.get_or_create(&ByFamily { family }).inc_by(events);
    }

    /// The counter `events_delivered_total` of a family. A subscriber keeps it, so that counting a delivery is one
    /// atomic addition without a lookup.
    #[must_use]
    pub fn delivered(&self, family: &'static str) -> Counter {
        self.events_delivered.get_or_create_owned(&ByFamily { family })
    }

    /// Counts events that were dropped for a slow subscriber: `events_dropped_total`.
    pub fn dropped(&self, family: &'static str, events: u64) {
        self.events_dropped.get_or_create(&ByFamily { family }).inc_by(events);
    }

    /// Counts a read of the event log for a subscriber or a topic that missed events: `catch_ups_total`.
    pub fn caught_up(&self, family: &'static str) {
        self.catch_ups.get_or_create(&ByFamily { family }).inc();
    }

    /// Counts a stream that started over because its cursor was unusable: `resets_total`.
    pub fn stream_reset(&self, family: &'static str, reason: &'static str) {
        self.resets.get_or_create(&ByReason { family, reason }).inc();
    }

    /// The counters `cache_lookups_total` of a cache: hits, then misses. The cache keeps them.
    #[must_use]
    pub fn cache(&self, cache: &'static str) -> [Counter; 2] {
        ["hit", "miss"]
            .map(|outcome| self.cache_lookups.get_or_create_owned(&ByCache { cache, outcome }))
    }

    /// The counter `clock_jumps_total` and the gauge `clock_offset_seconds`. The clock keeps them.
    #[must_use]
    pub fn clock(&self) -> (Counter, Gauge<f64, AtomicU64>) {
        (self.clock_jumps.clone(), self.clock_offset.clone())
    }

    /// Counts a checked credential: `authentications_total`.
    pub fn authenticated(&self, outcome: &'static str) {
        self.authentications.get_or_create(&ByOutcome { outcome }).inc();
    }

    /// Records the time to authenticate a request: `authentication_seconds`. Includes the check of the session.
    pub fn caller_identified(&self, took: Duration) {
        self.authentication.observe(took.as_secs_f64());
    }

    /// Records the time to check a login session: `login_session_validation_seconds`.
    pub fn login_session_validated(&self, took: Duration) {
        self.login_session_validation.observe(took.as_secs_f64());
        self.latencies.session_validation.record(took);
    }

    /// Records the time to look up a resource: `lookup_seconds`.
    pub fn looked_up(&self, resource: &'static str, took: Duration) {
        self.lookup.get_or_create(&ByResource { resource }).observe(took.as_secs_f64());
        self.latencies.resource_lookup.record(took);
    }

    /// Records the time to commit a transaction that writes events: `commit_seconds`.
    pub fn committed(&self, took: Duration) {
        self.commit.observe(took.as_secs_f64());
    }

    /// Shows the metrics of a background job from the start. Without `is_timed`, the time of its runs is not recorded.
    pub fn init_job(&self, job: &'static str, is_timed: bool) {
        self.jobs.init(job, is_timed);
    }

    /// Counts a finished run of a background job: `job_runs_total`, `job_seconds` and
    /// `job_last_success_timestamp_seconds`. `took` is absent for a job that mostly waits for its trigger.
    pub fn job_finished(&self, job: &'static str, succeeded: bool, took: Option<Duration>) {
        self.jobs.finished(job, succeeded, took);
    }

    /// Records the time from the request to the head of its response: `http_request_seconds`. So a stream counts when
    /// it starts. `operation` is the `operationId` of the OpenAPI document.
    pub fn request_finished(&self, operation: &'static str, status: u16, took: Duration) {
        self.http_request
            .get_or_create(&ByOperation { operation, status })
            .observe(took.as_secs_f64());
    }

    /// Counts a connection that was closed because a limit was reached: `connections_refused_total`.
    pub fn connection_refused(&self, limit: &'static str) {
        self.connections.refused.get_or_create(&ByLimit { limit }).inc();
    }

    /// Counts a response that was aborted because its client did not read it: `responses_aborted_total`.
    pub fn response_aborted(&self, limit: &'static str) {
        self.connections.aborted.get_or_create(&ByLimit { limit }).inc();
    }
}
