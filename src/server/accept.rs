//! The accept loop, and the start and end of the server.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use poem::Response;
use poem::endpoint::BoxEndpoint;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection;
use super::settings::Settings;
use super::shared::Shared;
use crate::limit::ConnectionLimit;

/// Pause of the accept loop when the machine has no descriptors or memory left for a socket.
const RETRY_DELAY: Duration = Duration::from_millis(100);
/// Shortest time between two log lines about the same problem.
const LOG_INTERVAL: Duration = Duration::from_secs(30);

/// Serves `endpoint` until `stop` is cancelled. Returns when the last connection has ended, at most [`Settings::drain`]
/// later. An error means that the listener itself cannot be used.
pub async fn serve(
    listener: TcpListener,
    endpoint: BoxEndpoint<'static, Response>,
    settings: Settings,
    stop: CancellationToken,
) -> io::Result<()> {
    let stop = stop.child_token();
    let tasks = TaskTracker::new();
    let shared = Arc::new(Shared::new(endpoint, settings, stop.clone(), tasks.clone()));
    // Dropping this future ends the connections in the same way as `stop`.
    let stop_on_drop = stop.drop_guard();
    let result = accept(&shared, &listener).await;
    drop(listener);
    drop(stop_on_drop);
    tasks.close();
    // This wait is limited: every connection applies `drain` itself, see `connection.rs`.
    tasks.wait().await;
    result
}

async fn accept(shared: &Arc<Shared>, listener: &TcpListener) -> io::Result<()> {
    let mut last_warning: Option<Instant> = None;
    let mut refused = Refused::default();
    while let Some(accepted) = shared.stop.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok((tcp, remote)) => match shared.connections.admit(remote.ip()) {
                Ok(permit) => {
                    let connection = connection::serve(Arc::clone(shared), tcp, remote, permit);
                    shared.tasks.spawn(connection);
                }
                Err(full) => refuse(shared, tcp, remote, full, &mut refused),
            },
            Err(error) if concerns_one_connection(&error) => {
                tracing::debug!(%error, "a connection ended before it was accepted");
            }
            // EINVAL: the socket does not listen. A retry cannot succeed.
            Err(error) if error.kind() == ErrorKind::InvalidInput => return Err(error),
            // EMFILE, ENFILE, ENOBUFS, ENOMEM: the connection stays in the backlog and the listener stays readable. So
            // waiting for readiness does not help, and the loop retries after a delay.
            Err(error) => {
                if last_warning.is_none_or(|last| last.elapsed() > LOG_INTERVAL) {
                    tracing::warn!(%error, "cannot accept connections, retrying");
                    last_warning = Some(Instant::now());
                }
                shared.stop.run_until_cancelled(sleep(RETRY_DELAY)).await;
            }
        }
    }
    Ok(())
}

/// Closes a connection that exceeds a limit, without a response. A response takes time, and with TLS it also needs a
/// handshake.
fn refuse(
    shared: &Shared,
    tcp: TcpStream,
    remote: SocketAddr,
    full: ConnectionLimit,
    refused: &mut Refused,
) {
    drop(tcp);
    shared.telemetry.connection_refused(full.name());
    refused.since_warning += 1;
    if refused.last_warning.is_none_or(|last| last.elapsed() > LOG_INTERVAL) {
        let (limit, closed, address) = (full.key(), refused.since_warning, remote.ip());
        tracing::warn!(limit, closed, %address, "too many connections, closing new ones");
        *refused = Refused { last_warning: Some(Instant::now()), since_warning: 0 };
    }
}

/// Counts refused connections for the log.
#[derive(Default)]
struct Refused {
    last_warning: Option<Instant>,
    since_warning: u64,
}

/// Whether an error of accept(2) is about the accepted connection and not about this machine.
fn concerns_one_connection(error: &io::Error) -> bool {
    use ErrorKind::{
        ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable, Interrupted,
        NetworkDown, NetworkUnreachable, PermissionDenied, TimedOut,
    };
    matches!(
        error.kind(),
        ConnectionAborted
            | ConnectionRefused
            | ConnectionReset
            | HostUnreachable
            | Interrupted
            | NetworkDown
            | NetworkUnreachable
            | PermissionDenied
            | TimedOut
    )
}

/// Raises the soft limit of file descriptors to the hard limit, and returns it. Every subscriber needs a descriptor.
pub fn raise_descriptor_limit() -> io::Result<u64> {
    rlimit::increase_nofile_limit(u64::MAX)
}
