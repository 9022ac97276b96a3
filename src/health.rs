//! Health of the systems that the gateway depends on: the database, the bus, external issuers and OAuth providers.
//!
//! This module keeps the result of the last check of each, and since when it is so. A readiness probe checks the database
//! and the bus. A background job checks the issuers and the providers, because a public request must not cause requests
//! to other servers.

use std::time::{Duration, Instant};

use entity::Timestamp;
use parking_lot::Mutex;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};
use tokio::time::timeout;

/// Time after which a dependency that does not answer counts as down. Short, because orchestrators probe every few
/// seconds.
const TIMEOUT: Duration = Duration::from_secs(4);

/// The kind of a dependency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DependencyKind {
    /// The database.
    Database,
    /// The bus between gateways.
    Bus,
    /// An external issuer of access tokens.
    Issuer,
    /// An OAuth provider.
    Provider,
}

impl DependencyKind {
    /// The name in metrics and logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Database => "database",
            Self::Bus => "bus",
            Self::Issuer => "issuer",
            Self::Provider => "provider",
        }
    }
}

/// A dependency, and its last check.
#[derive(Clone, Debug)]
pub struct Dependency {
    /// The kind.
    pub kind: DependencyKind,
    /// `database`, `bus`, the `iss` of the issuer, or the configured name of the provider.
    pub name: String,
    /// The last check. `None` before the first one.
    pub last: Option<Check>,
}

/// The result of a check.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    /// The reason why the dependency is down. `None` if it is up.
    pub cause: Option<&'static str>,
    /// Duration of the check.
    pub latency: Duration,
    /// Time of the check.
    pub at: Timestamp,
    /// Time of the first check with this status, up or down.
    pub since: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    kind: &'static str,
    name: String,
}

/// The health of every dependency.
#[derive(Debug)]
pub struct Health {
    /// In the order of the report. The list itself does not change.
    dependencies: Mutex<Vec<Dependency>>,
    up: Family<Labels, Gauge>,
}

impl Health {
    /// Knows the database, the bus, and these issuers and providers.
    #[must_use]
    pub fn new(upstreams: impl IntoIterator<Item = (DependencyKind, String)>) -> Self {
        let essential = [DependencyKind::Database, DependencyKind::Bus];
        let essential = essential.map(|kind| (kind, kind.name().to_owned()));
        let all = essential.into_iter().chain(upstreams);
        let dependencies = all.map(|(kind, name)| Dependency { kind, name, last: None }).collect();
        Self { dependencies: Mutex::new(dependencies), up: Family::default() }
    }

    /// Registers the metrics.
    pub fn register_metrics(&self, registry: &mut Registry) {
        registry.register(
            "upstream_up",
            "1 if the last check of an external issuer or an OAuth provider succeeded, else 0",
            self.up.clone(),
        );
    }

    /// Every dependency, with its last check.
    #[must_use]
    pub fn dependencies(&self) -> Vec<Dependency> {
        self.dependencies.lock().clone()
    }

    /// Runs a check, and keeps its result. A check ends after four seconds. Returns its duration, or `None` if the
    /// dependency is down.
    pub async fn check(
        &self,
        kind: DependencyKind,
        name: &str,
        check: impl Future<Output = Result<(), &'static str>>,
    ) -> Option<Duration> {
        let began = Instant::now();
        let cause = timeout(TIMEOUT, check).await.unwrap_or(Err("timeout")).err();
        let took = began.elapsed();
        self.record(kind, name, cause, took);
        cause.is_none().then_some(took)
    }

    fn record(
        &self,
        kind: DependencyKind,
        name: &str,
        cause: Option<&'static str>,
        latency: Duration,
    ) {
        let at = Timestamp::now();
        let mut dependencies = self.dependencies.lock();
        let mut found = dependencies.iter_mut();
        let Some(dependency) = found.find(|known| known.kind == kind && known.name == name) else {
            return;
        };
        let last = dependency.last;
        let is_same = |last: &Check| last.cause.is_none() == cause.is_none();
        let since = last.filter(is_same).map_or(at, |last| last.since);
        dependency.last = Some(Check { cause, latency, at, since });
        drop(dependencies);
        // The database has its own metric.
        if matches!(kind, DependencyKind::Issuer | DependencyKind::Provider) {
            let labels = Labels { kind: kind.name(), name: name.to_owned() };
            self.up.get_or_create(&labels).set(i64::from(cause.is_none()));
        }
        match (last, cause) {
            (last, Some(cause)) if last.is_none_or(|last| last.cause != Some(cause)) => {
                tracing::warn!(dependency = name, cause, "a dependency is down");
            }
            (Some(Check { cause: Some(_), .. }), None) => {
                tracing::info!(dependency = name, "a dependency is up again");
            }
            _ => {}
        }
    }
}
