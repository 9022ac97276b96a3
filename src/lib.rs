//! streamgate: an OpenAPI-first gateway for authenticated live streams.
//!
//! The house has floors. A file imports from lower floors only, never from a sibling; only inside
//! [`api`] may siblings know one another. A test reads the imports and fails when one climbs.
//!
//! | floor | rooms | what lives there |
//! |---|---|---|
//! | 6 | `main`, `demo`, `reload`, `signals`, this file | the commands |
//! | 5 | [`api`], [`server`] | HTTP: operations on poem; the accept loop around them |
//! | 4 | [`gateway`] | the one shared state, built in start order |
//! | 3 | [`hub`] | live delivery: combines the log, the bus, sessions and limits |
//! | 2 | [`event_log`], [`bus`], [`auth`], [`limit`], [`visibility`] | engines, blind to one another |
//! | 1 | [`config`], [`telemetry`], [`data_dir`], [`database`], [`event`], [`forwarded`], [`cache`], [`deadline`] | ground |
//! | 0 | [`clock`], `entity`, `migration` | time; rows and their history |

pub mod api;
pub mod auth;
pub mod background;
pub mod bus;
pub mod cache;
pub mod clock;
pub mod config;
pub mod data_dir;
pub mod database;
pub mod deadline;
pub mod event;
pub mod event_log;
pub mod family;
pub mod forwarded;
pub mod gateway;
pub mod hub;
pub mod limit;
pub mod server;
pub mod start;
pub mod telemetry;
pub mod visibility;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{net::TcpListener, sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

use bus::InProcessBus;
use config::Config;
use data_dir::DatabaseLock;
use gateway::Gateway;
use limit::ConnectionLimits;
use start::StartError;

/// Interval at which the files of the TLS certificate are read again.
const CERTIFICATE_INTERVAL: Duration = Duration::from_secs(30);

/// Controls a running service. A [`CancellationToken`] converts into one without reloads.
#[derive(Clone, Debug, Default)]
pub struct Control {
    /// Ends the service when it is cancelled.
    pub shutdown: CancellationToken,
    /// Makes the service read the files of its TLS certificate at once.
    pub reload: Arc<Notify>,
}

impl From<CancellationToken> for Control {
    fn from(shutdown: CancellationToken) -> Self {
        Self { shutdown, reload: Arc::default() }
    }
}

/// Why the service ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The certificate or its key cannot be used.
    #[error("server.tls_certificate, server.tls_key: cannot be used")]
    Tls(#[from] server::TlsError),
    /// The listener does not listen.
    #[error("cannot accept connections")]
    Accept(#[from] std::io::Error),
}

/// Serves until `control` ends it, alone, on a bus within the process. It does not start if another
/// process serves from the same SQLite database.
///
/// The first administrator, if there is no user yet, gets the password in
/// `STREAMGATE_ADMIN_PASSWORD`; without it, one is made up and handed to `announce`, once, with the
/// address.
pub async fn run(
    config: Config,
    listener: TcpListener,
    control: impl Into<Control>,
    announce: impl FnOnce(SocketAddr, Option<&str>),
) -> Result<(), RunError> {
    // Before the schema is touched, and until the database is closed.
    let _lock = lock(&config)?;
    let password = std::env::var("STREAMGATE_ADMIN_PASSWORD").ok();
    let bus = Arc::new(InProcessBus::default());
    let gateway = start::start(config, bus, Arc::new(clock::Machine), password).await?;
    announce(listener.local_addr()?, gateway.first_password.as_deref());
    serve(gateway, listener, control).await
}

/// Locks the database if it is a SQLite file.
fn lock(config: &Config) -> Result<Option<DatabaseLock>, StartError> {
    data_dir::make(&config.data_dir)?;
    let url = config.database.url.as_deref();
    let Some(file) = database::sqlite_file(url, &config.data_dir)? else { return Ok(None) };
    let (key, place) = match url {
        Some(_) => ("database.url", &file),
        None => ("data_dir", &config.data_dir),
    };
    Ok(Some(DatabaseLock::take(&file, key, place)?))
}

/// Serves a gateway until `control` ends it.
///
/// Then, in this order and within `server.drain_seconds` altogether: no new connections, a farewell
/// on every stream, the end of running requests, of what they and background work write, of the
/// database.
pub async fn serve(
    gateway: Arc<Gateway>,
    listener: TcpListener,
    control: impl Into<Control>,
) -> Result<(), RunError> {
    let Control { shutdown, reload } = control.into();
    let (config, limits) = (&gateway.config.server, &gateway.config.limits);
    let drain = Duration::from_secs(config.drain_seconds);
    let certificate = match (&config.tls_certificate, &config.tls_key) {
        (Some(certificate), Some(key)) => Some(server::Certificate::load(certificate, key)?),
        _ => None,
    };
    let tls = match &certificate {
        Some(certificate) => Some(certificate.tls()?),
        None => None,
    };
    let settings = server::Settings {
        header_timeout: Duration::from_secs(config.header_timeout_seconds),
        idle_timeout: Duration::from_secs(config.idle_timeout_seconds),
        write_timeout: Duration::from_secs(config.write_timeout_seconds),
        unread_limit: config.unread_limit_bytes,
        connections: ConnectionLimits {
            total: limits.connections,
            per_address: limits.connections_per_address,
            exempt: [&*limits.exempt_networks, &config.trusted_proxies].concat(),
        },
        head_limit: config.head_limit_bytes,
        drain,
        tls,
        error_body: api::refusal,
        telemetry: Arc::clone(&gateway.telemetry),
    };
    background::start(&gateway);
    let farewell = async {
        shutdown.cancelled().await;
        tracing::info!("ending");
        gateway.begin_stop();
        Instant::now() + drain
    };
    let accepting = server::serve(listener, api::endpoint(&gateway), settings, shutdown.clone());
    let renewing = async {
        if let Some(certificate) = certificate {
            let renewing = certificate.watch(CERTIFICATE_INTERVAL, &reload);
            shutdown.run_until_cancelled(renewing).await;
        }
    };
    let accepting = async {
        let accepted = accepting.await;
        // A listener that fails ends the service too.
        shutdown.cancel();
        accepted
    };
    let (deadline, accepted, ()) = tokio::join!(farewell, accepting, renewing);
    gateway.finish_stop(deadline).await;
    Ok(accepted?)
}
