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
    Tag,
    problem::{Kind, Problem, Result},
};
use crate::{gateway::Gateway, telemetry};

/// How long a dependency may take before it counts as down: orchestrators ask again after seconds.
const PATIENCE: Duration = Duration::from_secs(2);

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
#[oai(example)]
struct Dependency {
    /// What it is.
    name: String,
    /// Whether it works.
    status: State,
    /// How long it took to answer, in milliseconds.
    latency_ms: f64,
}

impl Example for Dependency {
    fn example() -> Self {
        Self { name: "database".to_owned(), status: State::Up, latency_ms: 0.25 }
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
        Self { status: State::Up, dependencies: vec![Dependency::example()] }
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
pub(super) struct Health;

#[OpenApi(tag = "Tag::Health")]
impl Health {
    /// Does the process run?
    ///
    /// Looks at nothing else: a restart would not mend a dependency. Public.
    #[oai(path = "/health/live", method = "get", operation_id = "health_live")]
    async fn live(&self) -> Result<Json<Liveness>> {
        Ok(Json(Liveness { status: State::Up }))
    }

    /// Can the service do its work?
    ///
    /// 503 while something that it needs is down; its body has the `dependencies` too. Public.
    #[oai(path = "/health/ready", method = "get", operation_id = "health_ready")]
    async fn ready(&self, gateway: Data<&Arc<Gateway>>) -> Result<Json<Readiness>> {
        let (database, bus) = tokio::join!(
            check("database", gateway.database.ping()),
            check("bus", gateway.bus.ping()),
        );
        let dependencies = vec![database, bus];
        let up = dependencies.iter().all(|dependency| dependency.status == State::Up);
        if up {
            return Ok(Json(Readiness { status: State::Up, dependencies }));
        }
        let detail = "something that the service needs is down";
        let dependencies = dependencies.to_json().unwrap_or_default();
        Err(Problem::new(Kind::Unavailable, detail).with("dependencies", dependencies))
    }

    /// Metrics
    ///
    /// For Prometheus. Public: keep it from the outside by the proxy in front, as usual.
    #[oai(path = "/metrics", method = "get", operation_id = "health_metrics")]
    async fn metrics(&self, gateway: Data<&Arc<Gateway>>) -> Result<Metrics> {
        Ok(Metrics(gateway.telemetry.render()))
    }
}

async fn check<E: std::fmt::Display>(
    name: &str,
    ping: impl Future<Output = std::result::Result<(), E>>,
) -> Dependency {
    let began = Instant::now();
    let status = match tokio::time::timeout(PATIENCE, ping).await {
        Ok(Ok(())) => State::Up,
        Ok(Err(error)) => {
            tracing::warn!(dependency = name, %error, "not ready");
            State::Down
        }
        Err(_) => {
            tracing::warn!(dependency = name, "not ready: no answer in time");
            State::Down
        }
    };
    Dependency { name: name.to_owned(), status, latency_ms: began.elapsed().as_secs_f64() * 1e3 }
}
