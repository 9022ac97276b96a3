//! Builds the gateway: creates the engines in the order of their dependencies.

use std::{sync::Arc, time::Duration};

use tokio::sync::Mutex;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use crate::{
    audit::AuditLog,
    auth::{
        api_key::ApiKeys,
        issuer::Issuers,
        login_session::{Lifetimes, LoginSessions},
        session_cookie::SessionCookies,
        signing::KeyError,
        stream_token::StreamTokens,
        token::Tokens,
        user::{UserError, Users},
    },
    bus::{Bus, BusError},
    clock::{Clock, TimeSource},
    config::Config,
    data_dir::{self, DataDirError},
    database::{Database, DatabaseError},
    event::Family,
    event_log::{EventLog, StaleCursor},
    gateway::Gateway,
    health::{DependencyKind, Health},
    http_client::HttpError,
    hub::{self, Hub},
    limit::{self, ConnectionLimit, Limits, Quota},
    oauth::{Oauth, OauthStartError},
    telemetry::{KnownLabels, Telemetry},
    tunnel::{self, SharingCache, Tunnels},
    visibility::Visibility,
};

/// The reason why the gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory cannot be created or used.
    #[error(transparent)]
    DataDirectory(#[from] DataDirError),
    /// The database cannot be opened or migrated.
    #[error("database.url: cannot open the database or migrate it")]
    Database(#[from] DatabaseError),
    /// The schema is not current, and `database.migrate` is off.
    #[error("database.migrate is off and the schema is not up to date: run `streamgate migrate`")]
    Schema,
    /// The signing keys cannot be loaded.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// No client for the requests to external issuers can be created.
    #[error("auth.issuers: cannot create a client for their keys")]
    Issuers(#[from] HttpError),
    /// The first administrator cannot be created.
    #[error("cannot create the first administrator (STREAMGATE_ADMIN_PASSWORD)")]
    Admin(#[from] UserError),
    /// The reactor threads cannot be started.
    #[error("cannot start the reactor threads")]
    Reactor(#[source] std::io::Error),
    /// The OAuth providers cannot be prepared.
    #[error(transparent)]
    Oauth(#[from] OauthStartError),
    /// The gateway cannot join the bus.
    #[error(transparent)]
    Bus(#[from] BusError),
}

/// The number of reactor threads: the configured number, or one for each core if it is 0.
fn reactors(configured: usize) -> usize {
    match configured {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        some => some,
    }
}

/// Opens the database of this configuration, without a migration. Creates the data directory and a SQLite file if they
/// are missing.
pub async fn open_database(config: &Config) -> Result<Database, StartError> {
    data_dir::create(&config.data_dir)?;
    let url = config.database.url.as_deref();
    Ok(Database::connect(url, &config.data_dir, config.database.pool_size).await?)
}

/// Builds the gateway without starting its background jobs. `time` is the source of the time. If there is no user yet,
/// creates the first administrator with `admin_password`, or with a generated password.
///
/// # Errors
/// See [`StartError`].
pub async fn build(
    config: Config,
    bus: Arc<dyn Bus>,
    time: Arc<dyn TimeSource>,
    admin_password: Option<String>,
) -> Result<Arc<Gateway>, StartError> {
    let database = open_database(&config).await?;
    if config.database.migrate {
        database.migrate().await?;
    } else if !database.is_current().await? {
        return Err(StartError::Schema);
    }
    let mut telemetry = Telemetry::new();
    database.register_metrics(telemetry.registry());
    let health = Health::new(upstreams(&config));
    health.register_metrics(telemetry.registry());
    let tunnel_metrics = tunnel::Metrics::new(telemetry.registry());
    let telemetry = Arc::new(telemetry);
    let (jumps, offset) = telemetry.clock();
    let clock = Arc::new(Clock::new(time, jumps, offset));
    let heartbeat = Duration::from_secs(config.streams.heartbeat_seconds);
    let tokens = Tokens::load(
        &config.data_dir,
        &config.tokens.issuer,
        &config.tokens.audience,
        Duration::from_secs(config.tokens.access_seconds),
        telemetry.cache("token"),
        &clock,
    )?;
    let issuers = Issuers::new(
        &config.auth.issuers,
        database.clone(),
        telemetry.cache("external_token"),
        &clock,
    )?;
    let session_cookies =
        SessionCookies::load(&config.data_dir, &config.tokens.issuer, &config.tokens.audience)?;
    let users = Users::new(database.clone());
    let lifetimes = Lifetimes {
        life: Duration::from_secs(config.tokens.login_session_seconds),
        longest: Duration::from_secs(config.tokens.session_max_seconds),
        notice: Duration::from_secs(config.streams.expiring_seconds),
    };
    let tasks = TaskTracker::new();
    let node = Uuid::new_v4();
    let bus_messages = Mutex::new(bus.join(node).await?);
    init_metrics(&telemetry);
    let hub = Hub::new(
        EventLog::new(database.clone(), Arc::clone(&clock)),
        Arc::clone(&bus),
        node,
        hub_settings(&config),
        Arc::clone(&telemetry),
        tasks.clone(),
    )
    .map_err(StartError::Reactor)?;
    let limits = Limits::new(limit_settings(&config));
    warn_about_proxies(&config);
    let oauth = Oauth::new(&config, database.clone())?;
    // This is the last step that can fail, because a generated password must be shown.
    let first_password = users.bootstrap(admin_password).await?;
    let gateway = Arc::new(Gateway {
        audit: AuditLog::new(database.clone()),
        oauth,
        api_keys: ApiKeys::new(database.clone(), heartbeat, telemetry.cache("api_key"), &clock),
        login_sessions: LoginSessions::new(
            database.clone(),
            lifetimes,
            heartbeat,
            [telemetry.cache("login_session"), telemetry.cache("proxy_session")],
            &clock,
        ),
        stream_tokens: StreamTokens::new(
            database.clone(),
            &clock,
            Duration::from_secs(config.tokens.resume_seconds),
        ),
        visibility: Visibility::new(heartbeat, telemetry.cache("visibility"), &clock),
        tunnels: Tunnels::new(
            tunnel_metrics,
            SharingCache::new(heartbeat, telemetry.cache("tunnel_sharing"), &clock),
        ),
        config,
        telemetry,
        health,
        database,
        tokens,
        issuers,
        session_cookies,
        users,
        limits,
        hub,
        clock,
        work_queues: Default::default(),
        bus,
        bus_messages,
        first_password,
        node,
        tasks,
        leaving: CancellationToken::new(),
        stopping: CancellationToken::new(),
    });
    Ok(gateway)
}

/// Shows the metrics with all known labels from the start.
fn init_metrics(telemetry: &Telemetry) {
    telemetry.init(&KnownLabels {
        families: Family::ALL.map(Family::name).into(),
        ends: hub::End::ALL.map(hub::End::reason).into(),
        resets: StaleCursor::ALL.map(StaleCursor::reason).into(),
        quotas: Quota::ALL
            .map(Quota::name)
            .into_iter()
            .chain([limit::TUNNELS, limit::RESPONSES])
            .collect(),
        connection_limits: ConnectionLimit::ALL.map(ConnectionLimit::name).into(),
    });
}

/// The kinds and names of the external issuers and the OAuth providers.
fn upstreams(config: &Config) -> impl Iterator<Item = (DependencyKind, String)> {
    let issuers = config.auth.issuers.iter();
    let issuers = issuers.map(|issuer| (DependencyKind::Issuer, issuer.issuer.clone()));
    let providers = config.oauth.providers.iter();
    issuers.chain(providers.map(|provider| (DependencyKind::Provider, provider.name.clone())))
}

/// The configured limits.
fn limit_settings(config: &Config) -> limit::Settings {
    limit::Settings {
        streams_per_user: config.limits.streams_per_user,
        tunnels_per_user: config.limits.tunnels_per_user,
        requests_per_minute: config.limits.requests_per_minute,
        stream_opens_per_minute: config.limits.stream_opens_per_minute,
        logins_per_minute_per_user: config.limits.logins_per_minute_per_user,
        logins_per_minute_per_name: config.limits.logins_per_minute_per_name,
        logins_per_minute_per_address: config.limits.logins_per_minute_per_address,
        refreshes_per_minute_per_session: config.limits.refreshes_per_minute_per_session,
        public_requests_per_minute_per_address: config
            .limits
            .public_requests_per_minute_per_address,
    }
}

/// Warns that the proxies can act as any user, if they may name users.
fn warn_about_proxies(config: &Config) {
    if let Some(header) = &config.auth.proxy_user_header {
        let proxies = &config.server.trusted_proxies;
        tracing::warn!(
            header,
            ?proxies,
            administrators = config.auth.proxy_administrators,
            "these proxies can act as any user by this header: they must authenticate users, and remove the header from \
             the requests of clients"
        );
    }
}

/// The configuration of streams.
fn hub_settings(config: &Config) -> hub::Settings {
    hub::Settings {
        heartbeat: Duration::from_secs(config.streams.heartbeat_seconds),
        expiring: Duration::from_secs(config.streams.expiring_seconds),
        buffer_events: config.streams.buffer_events,
        retry: Duration::from_secs(config.streams.retry_seconds),
        reactors: reactors(config.streams.reactor_threads),
        io_uring: config.streams.io_uring,
    }
}
