//! The accept loop: one task per connection, HTTP/1.1 and HTTP/2, with or without TLS.
//!
//! poem's own `Server` keeps a stream whose client has gone, spins when descriptors run out and
//! waits for ever for a head. This loop promises instead:
//!
//! - a peer that hangs up is noticed at once, whatever the connection is busy with; one that has only
//!   finished sending is answered, unless it asked for a stream;
//! - a peer that keeps us waiting longer than [`Settings::header_timeout`] is dropped;
//! - an answer with an end is never copied, and given up when its client does not read it;
//! - so many connections are open at most, and so many from one address before somebody logs in;
//! - no accept error ends the loop or makes it spin;
//! - when `stop` is cancelled, running answers have [`Settings::drain`] to finish, then all ends.

mod activity;
mod answer;
mod budget;
mod connection;
mod exchange;
mod head;
mod lent;
mod pace;
mod refusal;
mod socket;
mod tls;

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper_util::rt::TokioTimer;
use poem::Response;
use poem::endpoint::BoxEndpoint;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::activity::{Activity, Times};
use self::budget::Budget;
use self::pace::Streams;
use crate::limit::{ConnectionLimits, Connections, Full};
use crate::telemetry::Telemetry;

pub use self::refusal::Refusal;
pub use self::tls::{Certificate, TlsError, tls};

/// RFC 9113 section 6.5.2 advises at least 100. Every stream is a task with a send buffer, so
/// this also bounds what one connection can make us hold.
const STREAMS: u32 = 100;
/// Bytes of answer that wait in an HTTP/2 stream whose reader is slow (hyper's default: 400 KiB).
const SEND_BUFFER: usize = 16 * 1024;
/// Bytes of request body accepted unread, per HTTP/2 stream and connection (hyper: 1 MiB each).
const WINDOW: u32 = 64 * 1024;
/// The least that hyper accepts, and what an idle HTTP/1.1 connection costs.
const BUFFER: usize = 8 * 1024;
/// How long accepting rests when the machine has no descriptor or memory left for a socket.
const PAUSE: Duration = Duration::from_millis(100);
/// How often that is worth a line in the log.
const COMPLAINT: Duration = Duration::from_secs(30);

/// What a peer may take of our time and memory.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long a peer may owe us something: from connecting to the first complete head, TLS
    /// included; each later HTTP/1.1 head, from its first byte on; an answer to HTTP/2 PING, which is
    /// sent when nothing came in for as long.
    pub header_timeout: Duration,
    /// How long a connection may stay open between requests.
    pub idle_timeout: Duration,
    /// How long an answer that has an end may make no progress before it is given up.
    pub write_timeout: Duration,
    /// Bytes of answers that may wait to be read, over all connections.
    pub unread_limit: usize,
    /// How many connections may be open.
    pub connections: ConnectionLimits,
    /// Bytes of a request head. HTTP/2 counts 32 more per field (RFC 9113 section 6.5.2).
    pub head_limit: usize,
    /// How long running answers may go on after `stop`.
    pub drain: Duration,
    /// Speaks TLS on every connection if there is one, see [`tls()`].
    pub tls: Option<Arc<ServerConfig>>,
    /// Answers what cannot be made a request of: the id and the body, a problem document.
    pub refusal: Refusal,
    /// Counts what is refused and given up.
    pub telemetry: Arc<Telemetry>,
}

/// Serves `endpoint` until `stop`, and returns when the last connection is gone, at most
/// [`Settings::drain`] later. An error means that the listener itself is unusable.
pub async fn serve(
    listener: TcpListener,
    endpoint: BoxEndpoint<'static, Response>,
    settings: Settings,
    stop: CancellationToken,
) -> io::Result<()> {
    let stop = stop.child_token();
    let tasks = TaskTracker::new();
    let server = Arc::new(Server::new(endpoint, settings, stop.clone(), tasks.clone()));
    // Dropping this future ends the connections just as `stop` does.
    let ending = stop.drop_guard();
    let outcome = server.accept(&listener).await;
    drop(listener);
    drop(ending);
    tasks.close();
    // Bounded: every connection counts `drain` for itself, see `connection`.
    tasks.wait().await;
    outcome
}

/// What all connections share.
struct Server {
    endpoint: BoxEndpoint<'static, Response>,
    http1: http1::Builder,
    head_limit: usize,
    tls: Option<TlsAcceptor>,
    refusal: Refusal,
    times: Times,
    drain: Duration,
    budget: Arc<Budget>,
    connections: Arc<Connections>,
    telemetry: Arc<Telemetry>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Server {
    fn new(
        endpoint: BoxEndpoint<'static, Response>,
        settings: Settings,
        stop: CancellationToken,
        tasks: TaskTracker,
    ) -> Self {
        let Settings { header_timeout, idle_timeout, write_timeout, head_limit, .. } = settings;
        let Settings { unread_limit, connections, drain, tls, refusal, telemetry, .. } = settings;
        // A client that has finished sending is answered. Deadlines are those of `activity.rs`.
        // A head over the limit is refused by hyper itself, with the body of `refusal.rs`. On
        // HTTP/2 hyper's refusal cannot be given a body, so its bound is higher, and the endpoint
        // refuses what lies between.
        let mut http1 = http1::Builder::new();
        http1
            .half_close(true)
            .header_read_timeout(None)
            .max_header_size(head_limit)
            .max_buf_size(head_limit.max(BUFFER));
        Self {
            endpoint,
            http1,
            head_limit,
            tls: tls.map(TlsAcceptor::from),
            refusal,
            times: Times { header: header_timeout, idle: idle_timeout, write: write_timeout },
            drain,
            budget: Budget::new(unread_limit, Arc::clone(&telemetry)),
            connections: Connections::new(connections),
            telemetry,
            stop,
            tasks,
        }
    }

    /// HTTP/2 for one connection.
    fn http2(&self, connection: &Arc<Activity>) -> http2::Builder<Streams> {
        let streams = Streams {
            tasks: self.tasks.clone(),
            connection: Arc::clone(connection),
            telemetry: Arc::clone(&self.telemetry),
            write_timeout: self.times.write,
        };
        // h2's bounds on reset floods (CVE-2023-44487) and CONTINUATION floods are on by default.
        let mut http2 = http2::Builder::new(streams);
        http2
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS)
            .max_header_list_size(u32::try_from(4 * self.head_limit).unwrap_or(u32::MAX))
            .max_send_buf_size(SEND_BUFFER)
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(4 * WINDOW)
            .keep_alive_interval(self.times.header)
            .keep_alive_timeout(self.times.header);
        http2
    }

    async fn accept(self: &Arc<Self>, listener: &TcpListener) -> io::Result<()> {
        let mut complained: Option<Instant> = None;
        let mut refusals = Refusals::default();
        while let Some(accepted) = self.stop.run_until_cancelled(listener.accept()).await {
            match accepted {
                Ok((tcp, remote)) => match self.connections.admit(remote.ip()) {
                    Ok(admission) => {
                        let server = Arc::clone(self);
                        self.tasks.spawn(connection::attend(server, tcp, remote, admission));
                    }
                    Err(full) => self.refuse(tcp, remote, full, &mut refusals),
                },
                Err(error) if concerns_one_connection(&error) => {
                    tracing::debug!(%error, "a connection ended before it was accepted");
                }
                // EINVAL: not a listening socket. No waiting mends that.
                Err(error) if error.kind() == ErrorKind::InvalidInput => return Err(error),
                // EMFILE, ENFILE, ENOBUFS, ENOMEM: the connection stays in the backlog and the
                // listener stays readable, so only time, not readiness, can tell when to retry.
                Err(error) => {
                    if complained.is_none_or(|last| last.elapsed() > COMPLAINT) {
                        tracing::warn!(%error, "cannot accept connections, retrying");
                        complained = Some(Instant::now());
                    }
                    self.stop.run_until_cancelled(sleep(PAUSE)).await;
                }
            }
        }
        Ok(())
    }

    /// Closes a connection that is one too many. There is nobody to be told why: an answer would
    /// need a TLS handshake first, and time.
    fn refuse(&self, tcp: TcpStream, remote: SocketAddr, full: Full, refusals: &mut Refusals) {
        drop(tcp);
        self.telemetry.connection_refused(full.name());
        refusals.unsaid += 1;
        if refusals.said.is_none_or(|last| last.elapsed() > COMPLAINT) {
            let (limit, closed, address) = (full.key(), refusals.unsaid, remote.ip());
            tracing::warn!(limit, closed, %address, "too many connections, closing new ones");
            *refusals = Refusals { said: Some(Instant::now()), unsaid: 0 };
        }
    }
}

/// Connections that were refused, for the log.
#[derive(Default)]
struct Refusals {
    said: Option<Instant>,
    unsaid: u64,
}

/// The kinds of accept(2) errors that are about the connection, not about us.
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

/// Raises the soft limit of descriptors to the hard one, and returns it: every subscriber is one.
pub fn raise_descriptor_limit() -> io::Result<u64> {
    rlimit::increase_nofile_limit(u64::MAX)
}
