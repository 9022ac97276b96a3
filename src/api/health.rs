//! Whether the service works, and how.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use poem::{IntoResponse, Response, web::Data};
use poem_openapi::{
    ApiResponse, Enum, Object, OpenApi,
    payload::{Json, Payload},
    registry::{MetaMediaType, MetaResponse, MetaResponses, MetaSchemaRef, Registry},
    types::{Example, ToJSON, Type},
};

use super::{
    problem::{Kind, Problem, Result},
    tag::Tag,
};
use crate::{database::Fault, gateway::Gateway, limit::jittered, telemetry};

/// How long a dependency may take before it counts as down: orchestrators ask again after seconds.
const PATIENCE: Duration = Duration::from_secs(4);

/// Whether something works.
#[derive(Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case")]
enum State {
    /// It does.
    Up,
    /// It does not.
    Down,
}

/// That the process runs.
#[derive(Object)]
#[oai(example)]
struct Liveness {
    /// Always `up`: no answer is the other case.
    status: State,
}

impl Example for Liveness {
    fn example() -> Self {
        Self { status: State::Up }
    }
}

/// Something that the service needs.
#[derive(Object)]
#[oai(example, skip_serializing_if_is_none)]
struct Dependency {
    /// What it is.
    name: String,
    /// Whether it works.
    status: State,
    /// How long it took to answer, in milliseconds.
    latency_ms: f64,
    /// Why it is down, if that is known: `disk_full`, `read_only`, `locked`, `io_error`, `corrupt`,
    /// `unreachable` or `timeout`.
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

/// Whether the service can do its work.
#[derive(Object)]
#[oai(example)]
struct Readiness {
    /// `up` if everything that it needs works and it is not about to end.
    status: State,
    /// What it needs.
    dependencies: Vec<Dependency>,
}

impl Example for Readiness {
    fn example() -> Self {
        let works = Dependency { status: State::Up, cause: None, ..Dependency::example() };
        Self { status: State::Up, dependencies: vec![works] }
    }
}

/// Metrics as OpenMetrics text.
struct Metrics(String);

impl Payload for Metrics {
    const CONTENT_TYPE: &'static str = telemetry::CONTENT_TYPE;

    fn schema_ref() -> MetaSchemaRef {
        String::schema_ref()
    }
}

impl IntoResponse for Metrics {
    fn into_response(self) -> Response {
        Response::builder().content_type(telemetry::CONTENT_TYPE).body(self.0)
    }
}

impl ApiResponse for Metrics {
    fn meta() -> MetaResponses {
        MetaResponses {
            responses: vec![MetaResponse {
                description: "All metrics (OpenMetrics 1.0)",
                status: Some(200),
                status_range: None,
                content: vec![MetaMediaType {
                    content_type: Self::CONTENT_TYPE,
                    schema: Self::schema_ref(),
                }],
                headers: Vec::new(),
            }],
        }
    }

    fn register(_registry: &mut Registry) {}
}

/// The operations.
pub(super) struct HealthApi;

#[OpenApi(tag = "Tag::Health")]
impl HealthApi {
    /// Does the process run?
    ///
    /// Looks at nothing else: a restart would not mend a dependency. Public.
    #[oai(path = "/health/live", method = "get", operation_id = "health_live")]
    async fn live(&self) -> Result<Json<Liveness>> {
        Ok(Json(Liveness { status: State::Up }))
    }

    /// Can the service do its work?
    ///
    /// 503 while something that it needs is down; its body has the `dependencies` too. The database
    /// is up if it answers and takes writes. Public.
    #[oai(path = "/health/ready", method = "get", operation_id = "health_ready")]
    async fn ready(&self, gateway: Data<&Arc<Gateway>>) -> Result<Json<Readiness>> {
        let (database, bus) = tokio::join!(
            check("database", async { gateway.database.check().await.map_err(Fault::name) }),
            check("bus", async {
                gateway.bus.ping().await.map_err(|error| {
                    tracing::warn!(%error, "the bus is not ready");
                    Fault::Unreachable.name()
                })
            }),
        );
        let dependencies = vec![database, bus];
        let up = dependencies.iter().all(|dependency| dependency.status == State::Up);
        if up {
            return Ok(Json(Readiness { status: State::Up, dependencies }));
        }
        let detail = "something that the service needs is down";
        let dependencies = dependencies.to_json().unwrap_or_default();
        Err(Problem::new(Kind::Unavailable, detail)
            .with("dependencies", dependencies)
            .retry_after(jittered(Duration::from_secs(2))))
    }

    /// Metrics
    ///
    /// For Prometheus. Public: keep it from the outside by the proxy in front, as usual.
    #[oai(path = "/metrics", method = "get", operation_id = "health_metrics")]
    async fn metrics(&self, gateway: Data<&Arc<Gateway>>) -> Result<Metrics> {
        Ok(Metrics(gateway.telemetry.render()))
    }
}

async fn check(
    name: &str,
    ping: impl Future<Output = std::result::Result<(), &'static str>>,
) -> Dependency {
    let began = Instant::now();
    let answered = tokio::time::timeout(PATIENCE, ping).await;
    let cause = answered.unwrap_or(Err("timeout")).err();
    if let Some(cause) = cause {
        tracing::warn!(dependency = name, cause, "not ready");
    }
    Dependency {
        name: name.to_owned(),
        status: if cause.is_none() { State::Up } else { State::Down },
        latency_ms: began.elapsed().as_secs_f64() * 1e3,
        cause: cause.map(str::to_owned),
    }
}
