//! Liveness, readiness and metrics.

use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt, TryFutureExt, future::BoxFuture};
use poem::web::{Accept, Data};
use poem_openapi::{
    Enum, Object, OpenApi,
    types::{Example, ToJSON},
};
use time::OffsetDateTime;
use tokio::task::spawn_blocking;

use super::{
    json::Json,
    metrics::{Metrics, negotiate},
    problem::{self, MemoryResult, Problem, ReadResult},
    tag::Tag,
    visitor::Probe,
};
use crate::{
    database::Fault,
    family::wire::example_time,
    gateway::Gateway,
    health::{Check, Dependency, DependencyKind},
    limit::jittered,
};

/// Status of the gateway or of a dependency.
#[derive(Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case")]
enum State {
    /// The gateway or the dependency works.
    Up,
    /// The gateway works, but an issuer or a provider is down.
    Degraded,
    /// The dependency does not work.
    Down,
    /// The issuer or the provider was not checked yet, because the gateway has just started.
    Unknown,
}

/// Kind of a dependency.
#[derive(Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case")]
enum Kind {
    /// The database.
    Database,
    /// The bus between gateways.
    Bus,
    /// An external issuer of access tokens (`auth.issuers`).
    Issuer,
    /// An OAuth provider (`oauth.providers`).
    Provider,
}

impl From<DependencyKind> for Kind {
    fn from(kind: DependencyKind) -> Self {
        match kind {
            DependencyKind::Database => Self::Database,
            DependencyKind::Bus => Self::Bus,
            DependencyKind::Issuer => Self::Issuer,
            DependencyKind::Provider => Self::Provider,
        }
    }
}

/// Liveness of the process.
#[derive(Object)]
#[oai(example)]
struct Liveness {
    /// Always `up`. A process that is down does not answer.
    status: State,
}

impl Example for Liveness {
    fn example() -> Self {
        Self { status: State::Up }
    }
}

/// A dependency of the gateway, and its last check.
#[derive(Object)]
#[oai(rename = "Dependency", example, skip_serializing_if_is_none)]
struct DependencyReport {
    /// Kind: `database`, `bus`, `issuer` or `provider`.
    kind: Kind,
    /// `database`, `bus`, the `iss` of the issuer, or the configured name of the provider.
    name: String,
    /// `up`, `down`, or `unknown` before the first check.
    status: State,
    /// Time since when the dependency has this status, UTC. Absent before the first check.
    since: Option<OffsetDateTime>,
    /// Time of the last check, UTC. The database and the bus are checked for this response, the others with every
    /// heartbeat (`streams.heartbeat_seconds`). Absent before the first check.
    checked_at: Option<OffsetDateTime>,
    /// Duration of the check, in milliseconds. A check ends after 4,000 at the latest. Absent before the first check.
    latency_ms: Option<f64>,
    /// Reason why the dependency is down. Database and bus: `disk_full`, `read_only`, `locked`, `io_error`, `corrupt`,
    /// `unreachable` or `timeout`. Issuers and providers: `unreachable`, `timeout`, `error_status`, `invalid_response`,
    /// `other_issuer` (the discovery document names another issuer) or `not_allowed` (a private address or plain HTTP,
    /// without `private_network`). Absent if the dependency is up.
    cause: Option<String>,
}

impl From<Dependency> for DependencyReport {
    fn from(Dependency { kind, name, last }: Dependency) -> Self {
        let status = match last {
            None => State::Unknown,
            Some(Check { cause: None, .. }) => State::Up,
            Some(_) => State::Down,
        };
        Self {
            kind: kind.into(),
            name,
            status,
            since: last.map(|check| check.since.datetime()),
            checked_at: last.map(|check| check.at.datetime()),
            latency_ms: last.map(|check| check.latency.as_secs_f64() * 1e3),
            cause: last.and_then(|check| check.cause).map(str::to_owned),
        }
    }
}

impl Example for DependencyReport {
    fn example() -> Self {
        Self {
            kind: Kind::Provider,
            name: "github".to_owned(),
            status: State::Down,
            since: Some(example_time()),
            checked_at: Some(example_time()),
            latency_ms: Some(31.25),
            cause: Some("unreachable".to_owned()),
        }
    }
}

/// Readiness of the gateway.
#[derive(Object)]
#[oai(example)]
struct Readiness {
    /// `up`, or `degraded` while an issuer or a provider is down. If the database or the bus is down, or the gateway shuts
    /// down, the response is a problem with status 503.
    status: State,
    /// Every dependency, and its last check.
    dependencies: Vec<DependencyReport>,
}

impl Example for Readiness {
    fn example() -> Self {
        Self { status: State::Degraded, dependencies: vec![DependencyReport::example()] }
    }
}

/// The operations.
pub(super) struct HealthApi;

#[OpenApi(tag = "Tag::Health")]
impl HealthApi {
    /// Check liveness
    ///
    /// Answers 200 while the process runs. Checks no dependency, because a restart does not repair a dependency.
    /// Public.
    #[oai(path = "/health/live", method = "get", operation_id = "liveness_get")]
    async fn live(&self, _probe: Probe) -> MemoryResult<Json<Liveness>> {
        Ok(Json(Liveness { status: State::Up }))
    }

    /// Check readiness
    ///
    /// Answers 503 while the database or the bus is down, and from the moment when a shutdown starts. The body lists all
    /// `dependencies` in both cases. The database is up if it answers and accepts writes.
    ///
    /// An external issuer or an OAuth provider that is down makes the gateway `degraded`, with status 200. Most requests do
    /// not need it, and it would take all gateways out of service at the same time. Public.
    #[oai(path = "/health/ready", method = "get", operation_id = "readiness_get")]
    async fn ready(
        &self,
        _probe: Probe,
        gateway: Data<&Arc<Gateway>>,
    ) -> ReadResult<Json<Readiness>> {
        let check = async |kind: DependencyKind, check: BoxFuture<'_, _>| {
            gateway.health.check(kind, kind.name(), check).await
        };
        let database = gateway.database.check().map_err(Fault::name);
        let bus = gateway.bus.ping().map_err(|error| {
            tracing::debug!(%error, "the bus does not answer");
            Fault::Unreachable.name()
        });
        let checked = tokio::join!(
            check(DependencyKind::Database, database.boxed()),
            check(DependencyKind::Bus, bus.boxed()),
        );
        let dependencies = gateway.health.dependencies();
        let dependencies: Vec<DependencyReport> =
            dependencies.into_iter().map(Into::into).collect();
        let detail = if matches!(checked, (None, _) | (_, None)) {
            "a dependency of the gateway is down"
        } else if gateway.is_leaving() {
            "the gateway is shutting down"
        } else {
            let is_degraded = dependencies.iter().any(|found| found.status == State::Down);
            let status = if is_degraded { State::Degraded } else { State::Up };
            return Ok(Json(Readiness { status, dependencies }));
        };
        let dependencies = dependencies.to_json().unwrap_or_default();
        Err(Problem::new(problem::Kind::Unavailable, detail)
            .with("dependencies", dependencies)
            .retry_after(jittered(Duration::from_secs(2)))
            .into())
    }

    /// Get metrics
    ///
    /// Returns all metrics for Prometheus, in the format that `Accept` prefers. Public. If the gateway is reachable
    /// from the internet, block this path at the proxy.
    #[oai(path = "/metrics", method = "get", operation_id = "metrics_get")]
    async fn metrics(
        &self,
        _probe: Probe,
        gateway: Data<&Arc<Gateway>>,
        accept: Accept,
    ) -> MemoryResult<Metrics> {
        let format = negotiate(&accept);
        let telemetry = Arc::clone(&gateway.telemetry);
        // The metrics of the process are read from files.
        let text = spawn_blocking(move || telemetry.render(format)).await;
        Ok(Metrics { format, text: text.map_err(Problem::internal)? })
    }
}
