//! Liveness, readiness and metrics.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use poem::web::{Accept, Data};
use poem_openapi::{
    Enum, Object, OpenApi,
    types::{Example, ToJSON},
};
use tokio::task::spawn_blocking;

use super::{
    json::Json,
    metrics::{Metrics, negotiate},
    problem::{Kind, MemoryResult, Problem, ReadResult},
    tag::Tag,
    visitor::Probe,
};
use crate::{database::Fault, gateway::Gateway, limit::jittered};

/// Time after which a dependency that does not answer counts as down. Short, because orchestrators probe every few
/// seconds.
const PROBE_TIMEOUT: Duration = Duration::from_secs(4);

/// Status of the gateway or of a dependency.
#[derive(Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case")]
enum State {
    /// The gateway or the dependency works.
    Up,
    /// The dependency does not work.
    Down,
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

/// A dependency of the gateway.
#[derive(Object)]
#[oai(example, skip_serializing_if_is_none)]
struct Dependency {
    /// Name of the dependency: `database` or `bus`.
    name: String,
    /// `up` if the dependency works, else `down`.
    status: State,
    /// Duration of the check, in milliseconds. A check ends after 4,000 at the latest.
    latency_ms: f64,
    /// Reason why the dependency is down: `disk_full`, `read_only`, `locked`, `io_error`, `corrupt`, `unreachable`
    /// or `timeout`. Absent if it is up.
    cause: Option<String>,
}

impl Example for Dependency {
    fn example() -> Self {
        Self {
            name: "database".to_owned(),
            status: State::Down,
            latency_ms: 0.25,
            cause: Some(Fault::Full.name().to_owned()),
        }
    }
}

/// Readiness of the gateway.
#[derive(Object)]
#[oai(example)]
struct Readiness {
    /// Always `up`. If a dependency is down or the gateway shuts down, the response is a problem with status 503.
    status: State,
    /// Status of every dependency.
    dependencies: Vec<Dependency>,
}

impl Example for Readiness {
    fn example() -> Self {
        let works = Dependency { status: State::Up, cause: None, ..Dependency::example() };
        Self { status: State::Up, dependencies: vec![works] }
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
    /// Answers 503 while a dependency is down, and from the moment when a shutdown starts. The body lists all
    /// `dependencies` in both cases. The database is up if it answers and accepts writes. Public.
    #[oai(path = "/health/ready", method = "get", operation_id = "readiness_get")]
    async fn ready(
        &self,
        _probe: Probe,
        gateway: Data<&Arc<Gateway>>,
    ) -> ReadResult<Json<Readiness>> {
        let (database, bus) = tokio::join!(
            check("database", async { gateway.database.check().await.map_err(Fault::name) }),
            check("bus", async {
                gateway.bus.ping().await.map_err(|error| {
                    tracing::warn!(%error, "the bus does not answer");
                    Fault::Unreachable.name()
                })
            }),
        );
        let dependencies = vec![database, bus];
        let works = dependencies.iter().all(|dependency| dependency.status == State::Up);
        let detail = if !works {
            "a dependency of the gateway is down"
        } else if gateway.is_leaving() {
            "the gateway is shutting down"
        } else {
            return Ok(Json(Readiness { status: State::Up, dependencies }));
        };
        let dependencies = dependencies.to_json().unwrap_or_default();
        Err(Problem::new(Kind::Unavailable, detail)
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

async fn check(name: &str, ping: impl Future<Output = Result<(), &'static str>>) -> Dependency {
    let began = Instant::now();
    let probed = tokio::time::timeout(PROBE_TIMEOUT, ping).await;
    let cause = probed.unwrap_or(Err("timeout")).err();
    if let Some(cause) = cause {
        tracing::warn!(dependency = name, cause, "a dependency is down");
    }
    Dependency {
        name: name.to_owned(),
        status: if cause.is_none() { State::Up } else { State::Down },
        latency_ms: began.elapsed().as_secs_f64() * 1e3,
        cause: cause.map(str::to_owned),
    }
}
