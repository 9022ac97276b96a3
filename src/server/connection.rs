//! Serves one connection, from its first byte to its last.

use std::error::Error;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1::UpgradeableConnection;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use poem::http::uri::Scheme;
use rustls::ServerConnection;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, Ready};
use tokio::net::TcpStream;
use tokio::select;
use tokio::time::{Instant, Sleep, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::connection_state::{ConnectionState, Timeout};
use super::error_body::WithErrorBody;
use super::request_handler::{RequestHandler, SocketStream};
use super::shared::Shared;
use super::socket::{Socket, close_lingering, read_preface};
use crate::limit::ConnectionPermit;

/// Longest time that bytes of a stream can stay unacknowledged or unread before the connection is closed. A client that
/// was suspended for longer reconnects and resumes.
const USER_TIMEOUT: Duration = Duration::from_mins(1);

/// Bytes of a stream that the kernel buffers beyond those already sent. Without this limit, the kernel buffers
/// megabytes for each client that does not read. Most of these bytes would be outdated when the client reads them.
const UNSENT_STREAM: u32 = 64 << 10;

/// The same limit for a response with a known length.
const UNSENT_RESPONSE: u32 = 16 << 10;

/// Maximum number of bytes that TLS encrypts before the socket accepts them.
const TLS_BUFFER: usize = 16 << 10;

/// Time that a client which is still sending has to read the last response.
const LINGER_TIMEOUT: Duration = Duration::from_secs(1);

/// An accepted connection.
struct Connection {
    tcp: Arc<TcpStream>,
    handler: Arc<RequestHandler>,
}

type Ended = Result<(), Box<dyn Error + Send + Sync>>;

/// Serves a connection until it ends, or until a stream takes over its socket.
pub(super) async fn serve(
    shared: Arc<Shared>,
    tcp: TcpStream,
    remote: SocketAddr,
    permit: ConnectionPermit,
) {
    let (state, stop) = (ConnectionState::new(shared.timeouts), shared.stop.clone());
    let Ok(local) = tcp.local_addr() else { return };
    let scheme = if shared.tls.is_some() { Scheme::HTTPS } else { Scheme::HTTP };
    let handler = Arc::new(RequestHandler {
        shared,
        state,
        permit: Arc::new(permit),
        half_closed: CancellationToken::new(),
        local,
        remote,
        scheme,
        socket_stream: Mutex::default(),
    });
    let tcp = Arc::new(tcp);
    let connection = Connection { tcp: Arc::clone(&tcp), handler: Arc::clone(&handler) };
    let ended = connection.run().await;
    drop(connection);
    let socket_stream = handler.socket_stream.lock().take();
    // A direct stream always ends with an error, because the error makes hyper release the socket.
    if let (Err(error), None) = (ended, &socket_stream) {
        // Only the outer error, because its source can quote bytes from the client.
        tracing::debug!(%remote, %error, "connection ended early");
    }
    // After an upgrade another task owns the socket, and closes it.
    let Some(tcp) = Arc::into_inner(tcp) else { return };
    match socket_stream {
        Some(stream) => {
            if let Err(error) = start_socket_stream(tcp, stream) {
                tracing::warn!(%error, "cannot prepare the socket of a stream, closing the connection");
            }
        }
        None => {
            stop.run_until_cancelled(timeout(LINGER_TIMEOUT, close_lingering(tcp))).await;
        }
    }
}

/// Gives the socket to a stream.
fn start_socket_stream(tcp: TcpStream, stream: SocketStream) -> io::Result<()> {
    let socket = SockRef::from(&tcp);
    socket.set_tcp_notsent_lowat(UNSENT_STREAM)?;
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    let SocketStream { head, subscription } = stream;
    subscription.send_over(tcp.into_std()?, &head);
    Ok(())
}

impl Connection {
    /// Detects the protocol, and serves the connection. The futures of the protocols are boxed. Otherwise every
    /// connection would use the memory of all of them.
    async fn run(&self) -> Ended {
        let shared = &self.handler.shared;
        // With Nagle's algorithm, an event would wait for the acknowledgement of the previous event.
        self.tcp.set_nodelay(true)?;
        let socket = SockRef::from(&*self.tcp);
        // A client can disappear without closing, or stop reading. The client then keeps its slot as long as bytes for
        // it are unacknowledged. By default, the kernel waits for a quarter of an hour (RFC 5482).
        socket.set_tcp_user_timeout(Some(USER_TIMEOUT.max(shared.timeouts.write)))?;
        socket.set_tcp_notsent_lowat(UNSENT_RESPONSE)?;
        let mut socket = Socket::new(&self.tcp, &self.handler.state);
        let Some(tls) = &shared.tls else {
            let is_http2 = self.handshake(read_preface(&mut socket)).await?;
            return Box::pin(self.serve_http(socket, is_http2)).await;
        };
        // Over TLS, ALPN selects HTTP/2, and not the preface (RFC 9113 section 3.2).
        let secured = async {
            let limit = |session: &mut ServerConnection| session.set_buffer_limit(Some(TLS_BUFFER));
            let stream = self.handshake(tls.accept_with(socket, limit)).await?;
            let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            Box::pin(self.serve_http(stream, is_http2)).await
        };
        Box::pin(secured).await
    }

    /// Runs a step before the first request. If `stop` or the timeout ends the step, no request is lost.
    async fn handshake<T>(&self, step: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        let step = timeout_at(self.handler.state.first_deadline(), step);
        let done = self.handler.shared.stop.run_until_cancelled(step).await;
        done.ok_or(ErrorKind::ConnectionAborted)??
    }

    /// Serves requests on `io` with hyper.
    async fn serve_http<I>(&self, io: I, is_http2: bool) -> Ended
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (handler, shared) = (Arc::clone(&self.handler), &self.handler.shared);
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let guard = handler.state.begin_request();
            // Boxed, because hyper reserves memory for this future in every connection: 12 KiB.
            Box::pin(Arc::clone(&handler).handle(request, guard))
        });
        if is_http2 {
            self.handler.state.set_http2();
            let builder = shared.http2(&self.handler.state);
            let connection = builder.serve_connection(TokioIo::new(io), service);
            self.drive(Box::pin(connection), http2::Connection::graceful_shutdown).await
        } else {
            let io = TokioIo::new(WithErrorBody::new(io, shared.error_body));
            let connection = shared.http1.serve_connection(io, service).with_upgrades();
            self.drive(Box::pin(connection), UpgradeableConnection::graceful_shutdown).await
        }
    }

    /// Polls a connection of hyper until it ends, or until the client, a timeout or `stop` ends it. Then drops it, and
    /// with it every body that it streams.
    async fn drive<C>(&self, mut connection: Pin<Box<C>>, shut_down: fn(Pin<&mut C>)) -> Ended
    where
        C: Future<Output = hyper::Result<()>>,
    {
        let RequestHandler { shared, state, half_closed, .. } = &*self.handler;
        // tokio adds "the peer has closed" to every interest. PRIORITY is out-of-band data, for which tokio does not
        // register the socket. So only a close or an error makes this interest ready. This detects FIN and RST while
        // received bytes are unread. Without this, hyper detects them only when it reads. It does not read while a
        // pipelined request waits, or while the endpoint does not read a request body.
        let mut hung_up = pin!(self.tcp.ready(Interest::PRIORITY | Interest::ERROR));
        let mut failed = pin!(self.tcp.ready(Interest::ERROR));
        // Each connection has its own token, so that the waits of all connections do not share one lock.
        let stop = shared.stop.child_token();
        let mut stopped = pin!(stop.cancelled());
        let mut timer = pin!(sleep_until(state.first_deadline()));
        let mut drain_deadline = None;
        let mut is_closing = false;
        loop {
            select! {
                biased;
                ended = &mut connection => return Ok(ended?),
                ready = &mut hung_up, if !half_closed.is_cancelled() => {
                    // The client has closed at least one direction. A stream ends then, because most likely the client
                    // has disconnected. HTTP/2 needs both directions.
                    let has_failed = ready.map_or(true, Ready::is_error);
                    if has_failed || state.is_http2() || state.has_stream() {
                        return Ok(());
                    }
                    // Other responses are still sent: the client may only have finished sending.
                    half_closed.cancel();
                }
                _ = &mut failed, if half_closed.is_cancelled() => return Ok(()),
                () = state.progress.wait_for_abort() => {
                    return Err(Box::new(io::Error::from(ErrorKind::TimedOut)));
                }
                () = &mut stopped, if drain_deadline.is_none() => {
                    shut_down(connection.as_mut());
                    drain_deadline = Some(Instant::now() + shared.drain);
                }
                passed = wait_for_timeout(state, timer.as_mut(), drain_deadline) => match passed {
                    Some(Timeout::Idle) if state.is_http2() && !is_closing => {
                        shut_down(connection.as_mut());
                        state.extend_deadline();
                        is_closing = true;
                    }
                    Some(Timeout::Idle) => return Ok(()),
                    Some(Timeout::Write) => {
                        shared.telemetry.response_aborted("write_timeout");
                        return Err(Box::new(io::Error::from(ErrorKind::TimedOut)));
                    }
                    Some(Timeout::Header) | None => {
                        return Err(Box::new(io::Error::from(ErrorKind::TimedOut)));
                    }
                },
            }
        }
    }
}

/// Waits for a timeout of the connection. Returns `None` when the drain deadline passes first.
///
/// The timer is reset only when it elapses or when the deadline becomes earlier, not with every request.
async fn wait_for_timeout(
    state: &ConnectionState,
    mut timer: Pin<&mut Sleep>,
    drain_deadline: Option<Instant>,
) -> Option<Timeout> {
    poll_fn(|cx| {
        loop {
            let (deadline, timeout) = state.next_timeout();
            let deadline = drain_deadline.map_or(deadline, |drain| drain.min(deadline));
            if deadline < timer.deadline() || timer.is_elapsed() {
                timer.as_mut().reset(deadline);
            }
            ready!(timer.as_mut().poll(cx));
            let now = Instant::now();
            if drain_deadline.is_some_and(|drain| drain <= now) {
                return Poll::Ready(None);
            }
            if deadline <= now && timeout.is_some() {
                return Poll::Ready(timeout);
            }
        }
    })
    .await
}
