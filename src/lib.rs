//! streamgate: an OpenAPI-first gateway for authenticated live streams.
//!
//! Workers and agents run long tasks, answer prompts, serve MCP sessions and change topologies. Browsers, generated
//! clients and agents watch this work through the gateway. Every stream is authenticated and limited per user. A client
//! can resume a stream without loss.
//!
//! # Layers
//!
//! A file imports only its own layer and lower layers. Files never import each other in a circle. A test checks both
//! rules.
//!
//! | layer | modules | what it does |
//! |---|---|---|
//! | 7 | `main`, `cli` | parses the command line and runs one command |
//! | 6 | this file, [`start`], [`background`], [`shutdown_delay`] | starts and stops a gateway, schedules the background jobs |
//! | 5 | [`api`] | operations, problems, OpenAPI documents: everything that is HTTP |
//! | 5 | [`server`] | the accept loop, the limits of connections, the delivery of a stream to its socket |
//! | 4 | [`mcp`] | the Model Context Protocol through tunnels, for clients and servers of both eras |
//! | 4 | [`family`] | the resources that can be watched: state machines, rows, events, snapshots, work queues |
//! | 3 | [`gateway`] | the state that operations, families and background jobs share |
//! | 2 | [`hub`] | live delivery in one process: live topics, subscriptions, fan-out |
//! | 1 | [`event_log`], [`bus`], [`auth`], [`audit`], [`limit`], [`oauth`], [`tunnel`], [`health`], [`visibility`] | engines; none of them imports another |
//! | 0 | [`clock`], [`config`], [`telemetry`], [`database`], [`event`], [`json`], [`cache`], [`deadline`], [`data_dir`], [`forwarded`], [`http_client`], [`secret`] | the basis that every layer uses |
//! | | `entity`, `migration` | crates: the rows of the tables, and the migrations of the schema |
//!
//! # Three paths through the program
//!
//! `docs/architecture.md` lists the files on each path.
//!
//! ## A publish
//!
//! A client publishes an event, and another client watches the topic.
//!
//! 1. [`api`]: the operation authenticates the caller and calls the family.
//! 2. [`family::mcp_session::publish()`]: checks that the caller may publish, and creates the event.
//! 3. [`hub::Hub::publish`]: waits for capacity, and passes the event to the group commit.
//! 4. [`event_log::EventLog::append_all`]: writes and numbers the events of all waiting publishers, in one transaction.
//! 5. [`hub::Delivery::committed`]: after the commit, encodes the event once and adds it to the ring of its live topic.
//! 6. [`hub::Subscribers`]: the task that delivers the event writes to a few subscribers, and reactors write to many.
//!
//! ## An open
//!
//! A client opens a stream.
//!
//! 1. [`api`]: the operation authenticates the caller, by an access token or a stream token.
//! 2. [`family::find_visible`]: checks that the resource exists and is visible to the caller.
//! 3. [`limit::Limits::admit`]: takes a slot of the user.
//! 4. [`auth::login_session::LoginSessions::watch`]: watches the login session, so that the stream ends with it.
//! 5. [`hub::Hub::open`]: joins the live topic first, then finds the cursor in the ring or in the event log.
//! 6. [`hub::Source::snapshot`]: without a usable cursor, the family reads the snapshot.
//! 7. [`hub::Handover`]: carries the pending subscription in the response to the server.
//! 8. [`server`]: on plain HTTP/1.1 takes the socket from hyper and gives it to a reactor.
//!
//! ## A claim
//!
//! A worker claims work. When the lease expires, another worker can claim the work.
//!
//! 1. [`api`]: the operation authenticates the worker and calls the family.
//! 2. [`family::topology::mutation::claim()`]: checks that the topology exists.
//! 3. [`family::queue::claim_or_wait`]: has the family lease the oldest pending mutations to the worker. If there are
//!    none, waits for them.
//! 4. [`family::commit`]: commits rows and events in one transaction, then delivers the events.
//! 5. [`deadline::NextDeadline`]: holds the time at which the next lease expires.
//! 6. [`background::JOBS`]: the job that ends leases runs at that time.
//! 7. [`family::queue::end_expired`]: finds the expired leases, has the family make their work pending again, and
//!    notifies the waiting workers.

pub mod api;
pub mod audit;
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
pub mod health;
pub mod http_client;
pub mod hub;
pub mod json;
pub mod limit;
pub mod mcp;
pub mod oauth;
pub mod secret;
pub mod server;
pub mod shutdown_delay;
pub mod start;
pub mod telemetry;
pub mod tunnel;
pub mod visibility;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{net::TcpListener, sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

use bus::InProcessBus;
use config::Config;
use data_dir::DatabaseLock;
use gateway::Gateway;
use limit::ConnectionLimits;
use shutdown_delay::ShutdownDelay;
use start::StartError;

/// Controls a running gateway. A [`CancellationToken`] converts into a control that never reloads.
#[derive(Clone, Debug, Default)]
pub struct Control {
    /// Shuts the gateway down when it is cancelled.
    pub shutdown: CancellationToken,
    /// Makes the gateway read the files of its TLS certificate at once.
    pub reload: Arc<Notify>,
    /// The time between the start of the shutdown and the drain.
    pub delay: ShutdownDelay,
}

impl From<CancellationToken> for Control {
    fn from(shutdown: CancellationToken) -> Self {
        Self { shutdown, ..Self::default() }
    }
}

/// The reason why the gateway did not start, or ended without a shutdown.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The gateway did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The TLS certificate or its key cannot be used.
    #[error("server.tls_certificate, server.tls_key: the files cannot be used")]
    Tls(#[from] server::TlsError),
    /// The listener failed.
    #[error("cannot accept connections")]
    Accept(#[from] std::io::Error),
}

/// Runs one gateway, with a bus inside the process, until `control` shuts it down. Fails if another process serves from
/// the same SQLite database.
///
/// If there is no user yet, creates the first administrator with the password in `STREAMGATE_ADMIN_PASSWORD`. Without
/// the variable, generates a password. Calls `announce` once, with the address and the generated password.
pub async fn run(
    config: Config,
    listener: TcpListener,
    control: impl Into<Control>,
    announce: impl FnOnce(SocketAddr, Option<&str>),
) -> Result<(), RunError> {
    // Taken before the schema is migrated, and held until the database is closed.
    let _lock = lock(&config)?;
    let password = std::env::var("STREAMGATE_ADMIN_PASSWORD").ok();
    let bus = Arc::new(InProcessBus::default());
    let gateway = start::build(config, bus, Arc::new(clock::SystemClocks), password).await?;
    announce(listener.local_addr()?, gateway.first_password.as_deref());
    serve(gateway, listener, control).await
}

/// Locks the database if it is a SQLite file.
fn lock(config: &Config) -> Result<Option<DatabaseLock>, StartError> {
    data_dir::create(&config.data_dir)?;
    let url = config.database.url.as_deref();
    let Some(file) = database::sqlite_file(url, &config.data_dir)? else { return Ok(None) };
    let (key, place) = match url {
        Some(_) => ("database.url", &file),
        None => ("data_dir", &config.data_dir),
    };
    Ok(Some(DatabaseLock::take(&file, key, place)?))
}

/// Runs a gateway until `control` shuts it down.
///
/// For `server.shutdown_delay_seconds`, the gateway works as before and only reports that it is not ready. Then the
/// shutdown takes at most `server.drain_seconds`. It accepts no new connection, sends `stream.closed` on every
/// stream, and waits for running requests. Then it waits for writes of requests and background jobs, and closes the
/// database.
pub async fn serve(
    gateway: Arc<Gateway>,
    listener: TcpListener,
    control: impl Into<Control>,
) -> Result<(), RunError> {
    let Control { shutdown, reload, delay } = control.into();
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
    background::start(&background::Context { gateway: Arc::clone(&gateway), certificate, reload });
    // Cancelled when the drain starts. Dropping this future also stops the server.
    let stop = CancellationToken::new();
    let draining = async {
        let delayed = async {
            shutdown.cancelled().await;
            gateway.announce_stop();
            if config.shutdown_delay_seconds > 0 {
                let seconds = config.shutdown_delay_seconds;
                tracing::info!(seconds, "shutting down after a delay: not ready from now on");
                delay.run(Duration::from_secs(seconds)).await;
            }
        };
        stop.run_until_cancelled(delayed).await;
        tracing::info!("shutting down");
        gateway.begin_stop();
        stop.cancel();
        Instant::now() + drain
    };
    let accepting = server::serve(listener, api::endpoint(&gateway), settings, stop.clone());
    let accepting = async {
        let accepted = accepting.await;
        // A listener that fails shuts the gateway down too, without a delay.
        stop.cancel();
        accepted
    };
    let (deadline, accepted) = tokio::join!(draining, accepting);
    gateway.finish_stop(deadline).await;
    Ok(accepted?)
}
