//! The latencies of authentication, with their targets.

use std::{sync::Arc, time::Duration};

use poem::web::Data;
use poem_openapi::{Object, OpenApi, types::Example};

use super::{
    caller::{Admin, Caller},
    json::Json,
    problem::ReadResult,
    tag::Tag,
};
use crate::{
    gateway::Gateway,
    telemetry::{Latencies, Summary},
};

/// Percentiles of a latency since the start of the gateway, with a precision of one percent.
#[derive(Object)]
#[oai(example)]
struct Latency {
    /// Name of the latency:
    /// - `session_validation`: the check of a login session,
    /// - `token_refresh`: the exchange of a refresh token,
    /// - `grant_refresh`: the refresh of an OAuth grant, without the time of the provider,
    /// - `resource_lookup`: the look-up of a resource,
    /// - `provider_check`: the check of an external issuer or an OAuth provider that is up.
    name: String,
    /// Number of values. Without one, the percentiles are 0.
    count: u64,
    /// Median, in milliseconds.
    p50_ms: f64,
    /// 95th percentile, in milliseconds.
    p95_ms: f64,
    /// 99th percentile, in milliseconds.
    p99_ms: f64,
    /// Target of the 99th percentile, in milliseconds.
    target_ms: f64,
}

impl Latency {
    fn new(name: &str, summary: Summary, target_ms: f64) -> Self {
        let millis = |time: Duration| time.as_secs_f64() * 1e3;
        Self {
            name: name.to_owned(),
            count: summary.count,
            p50_ms: millis(summary.p50),
            p95_ms: millis(summary.p95),
            p99_ms: millis(summary.p99),
            target_ms,
        }
    }
}

impl Example for Latency {
    fn example() -> Self {
        Self {
            name: "session_validation".to_owned(),
            count: 1_204,
            p50_ms: 0.004,
            p95_ms: 0.09,
            p99_ms: 0.24,
            target_ms: 50.0,
        }
    }
}

/// The latencies that have a target.
#[derive(Object)]
#[oai(example)]
struct LatencyReport {
    /// One entry for each latency.
    items: Vec<Latency>,
}

impl Example for LatencyReport {
    fn example() -> Self {
        Self { items: vec![Latency::example()] }
    }
}

/// The operations.
pub(super) struct LatencyApi;

#[OpenApi(tag = "Tag::Health")]
impl LatencyApi {
    /// Get latencies
    ///
    /// Returns percentiles of this gateway since its start, and the target of each. Requires the role admin.
    #[oai(path = "/v1/admin/latency", method = "get", operation_id = "latency_get")]
    async fn latency(
        &self,
        _caller: Caller<Admin>,
        gateway: Data<&Arc<Gateway>>,
    ) -> ReadResult<Json<LatencyReport>> {
        let Latencies {
            session_validation,
            token_refresh,
            grant_refresh,
            resource_lookup,
            provider_check,
        } = &gateway.telemetry.latencies;
        let items = [
            ("session_validation", session_validation, 50.0),
            ("token_refresh", token_refresh, 100.0),
            ("grant_refresh", grant_refresh, 100.0),
            ("resource_lookup", resource_lookup, 25.0),
            ("provider_check", provider_check, 200.0),
        ];
        let items =
            items.map(|(name, latency, target)| Latency::new(name, latency.summary(), target));
        Ok(Json(LatencyReport { items: items.into() }))
    }
}
