//! One connection from its first byte to its last.

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

use super::Server;
use super::activity::{Activity, Due};
use super::exchange::{Exchange, Leaving};
use super::refusal::Refusing;
use super::socket::{Socket, linger, preface};
use crate::limit::Admission;

/// How long bytes of a stream may lie unacknowledged or unread before the connection is given up. A
/// client that slept for longer reconnects and resumes.
const UNREAD: Duration = Duration::from_mins(1);

/// Bytes that the kernel takes for a stream beyond what is on its way: else megabytes for each
/// client that does not read, of which most would be out of date by the time it does.
const UNSENT: u32 = 64 << 10;

/// The same for answers that have an end.
const UNSENT_ANSWER: u32 = 16 << 10;

/// Bytes that TLS encrypts ahead of what the socket takes.
const TLS_BUFFER: usize = 16 << 10;

/// How long a peer that is still sending may take to read the last answer.
const LINGER: Duration = Duration::from_secs(1);

/// A client that has connected.
struct Connection {
    tcp: Arc<TcpStream>,
    exchange: Arc<Exchange>,
}

type Ended = Result<(), Box<dyn Error + Send + Sync>>;

/// The whole life of a connection.
pub(super) async fn attend(
    server: Arc<Server>,
    tcp: TcpStream,
    remote: SocketAddr,
    admission: Admission,
) {
    let (activity, stop) = (Activity::new(server.times), server.stop.clone());
    let Ok(local) = tcp.local_addr() else { return };
    let scheme = if server.tls.is_some() { Scheme::HTTPS } else { Scheme::HTTP };
    let exchange = Arc::new(Exchange {
        server,
        activity,
        admission: Arc::new(admission),
        half_closed: CancellationToken::new(),
        local,
        remote,
        scheme,
        leaving: Mutex::default(),
    });
    let tcp = Arc::new(tcp);
    let connection = Connection { tcp: Arc::clone(&tcp), exchange: Arc::clone(&exchange) };
    let ended = connection.converse().await;
    drop(connection);
    let leaving = exchange.leaving.lock().take();
    // hyper knows only that its service failed, which is how it is made to let go.
    if let (Err(error), None) = (ended, &leaving) {
        // Only the outer text: a cause may quote what the peer sent.
        tracing::debug!(%remote, %error, "connection ended early");
    }
    // After an upgrade the socket has another owner, who closes it.
    let Some(tcp) = Arc::into_inner(tcp) else { return };
    match leaving {
        Some(leaving) => {
            if let Err(error) = leave(tcp, leaving) {
                tracing::warn!(%error, "cannot take over a socket");
            }
        }
        None => {
            stop.run_until_cancelled(timeout(LINGER, linger(tcp))).await;
        }
    }
}

/// Gives the socket to a stream.
fn leave(tcp: TcpStream, leaving: Leaving) -> io::Result<()> {
    let socket = SockRef::from(&tcp);
    socket.set_tcp_notsent_lowat(UNSENT)?;
    socket.set_tcp_user_timeout(Some(UNREAD))?;
    let Leaving { head, subscription } = leaving;
    subscription.onto_socket(tcp.into_std()?, &head);
    Ok(())
}

impl Connection {
    /// Decides who speaks on this socket, and lets it speak. Each way is boxed, or a connection has
    /// room for all of them.
    async fn converse(&self) -> Ended {
        let server = &self.exchange.server;
        // An event must not wait for the acknowledgement of the one before (Nagle's algorithm).
        self.tcp.set_nodelay(true)?;
        let socket = SockRef::from(&*self.tcp);
        // A peer that vanished without a word, or that has stopped reading, holds a slot for as long
        // as something for it is under way: to the kernel a quarter of an hour (RFC 5482).
        socket.set_tcp_user_timeout(Some(UNREAD.max(server.times.write)))?;
        socket.set_tcp_notsent_lowat(UNSENT_ANSWER)?;
        let mut socket = Socket::new(&self.tcp, &self.exchange.activity);
        let Some(tls) = &server.tls else {
            let h2 = self.open(preface(&mut socket)).await?;
            return Box::pin(self.speak(socket, h2)).await;
        };
        // Over TLS it is ALPN, not the preface, that chooses HTTP/2 (RFC 9113 section 3.2).
        let secured = async {
            let limit = |session: &mut ServerConnection| session.set_buffer_limit(Some(TLS_BUFFER));
            let stream = self.open(tls.accept_with(socket, limit)).await?;
            let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            Box::pin(self.speak(stream, h2)).await
        };
        Box::pin(secured).await
    }

    /// A step before HTTP begins: nothing was asked yet, so `stop` may cut it short.
    async fn open<T>(&self, step: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        let step = timeout_at(self.exchange.activity.first_by(), step);
        let done = self.exchange.server.stop.run_until_cancelled(step).await;
        done.ok_or(ErrorKind::ConnectionAborted)??
    }

    /// Lets hyper answer with the endpoint what is asked on `io`.
    async fn speak<I>(&self, io: I, h2: bool) -> Ended
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (exchange, server) = (Arc::clone(&self.exchange), &self.exchange.server);
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let answering = exchange.activity.begin();
            // Boxed, or hyper keeps room for the 12 KiB of this future in every connection.
            Box::pin(Arc::clone(&exchange).respond(request, answering))
        });
        if h2 {
            self.exchange.activity.speaks_h2();
            let builder = server.http2(&self.exchange.activity);
            let conversation = builder.serve_connection(TokioIo::new(io), service);
            self.drive(Box::pin(conversation), http2::Connection::graceful_shutdown).await
        } else {
            let io = TokioIo::new(Refusing::new(io, server.refusal));
            let conversation = server.http1.serve_connection(io, service).with_upgrades();
            self.drive(Box::pin(conversation), UpgradeableConnection::graceful_shutdown).await
        }
    }

    /// Polls a connection of hyper's to its end, or drops it and with it every body it streams.
    async fn drive<C>(&self, mut conversation: Pin<Box<C>>, finish: fn(Pin<&mut C>)) -> Ended
    where
        C: Future<Output = hyper::Result<()>>,
    {
        let Exchange { server, activity, half_closed, .. } = &*self.exchange;
        // tokio adds "the peer has closed" to every readiness one can wait for. PRIORITY (data
        // out of band, which we never register for) is the one where nothing else comes along, so
        // it tells of FIN and RST while bytes wait unread. hyper sees neither as long as it has no
        // use for what the client sent: a pipelined request, a body that nobody reads.
        let mut hung_up = pin!(self.tcp.ready(Interest::PRIORITY | Interest::ERROR));
        let mut failed = pin!(self.tcp.ready(Interest::ERROR));
        // A token of its own, lest every event on every connection takes one shared lock.
        let stop = server.stop.child_token();
        let mut stopped = pin!(stop.cancelled());
        let mut timer = pin!(sleep_until(activity.first_by()));
        let mut ending = None;
        let mut is_leaving = false;
        loop {
            select! {
                biased;
                ended = &mut conversation => return Ok(ended?),
                ready = &mut hung_up, if !half_closed.is_cancelled() => {
                    // A stream is of no use to a client that has left, which is what it looks like.
                    // HTTP/2 cannot go on without hearing from its client.
                    let has_failed = ready.map_or(true, Ready::is_error);
                    if has_failed || activity.is_h2() || activity.is_streaming() {
                        return Ok(());
                    }
                    // Anything else is answered: the client may only have said that it is done.
                    half_closed.cancel();
                }
                _ = &mut failed, if half_closed.is_cancelled() => return Ok(()),
                () = activity.pace.is_cut() => {
                    return Err(Box::new(io::Error::from(ErrorKind::TimedOut)));
                }
                () = &mut stopped, if ending.is_none() => {
                    finish(conversation.as_mut());
                    ending = Some(Instant::now() + server.drain);
                }
                due = due(activity, timer.as_mut(), ending) => match due {
                    Some(Due::Idle) if activity.is_h2() && !is_leaving => {
                        finish(conversation.as_mut());
                        activity.extend();
                        is_leaving = true;
                    }
                    Some(Due::Idle) => return Ok(()),
                    Some(Due::Unread) => {
                        server.telemetry.answer_cut("write_timeout");
                        return Err(Box::new(io::Error::from(ErrorKind::TimedOut)));
                    }
                    Some(Due::Head) | None => {
                        return Err(Box::new(io::Error::from(ErrorKind::TimedOut)));
                    }
                },
            }
        }
    }
}

/// Waits for the deadline of the connection, or for the end that it has been given, `None`.
///
/// The timer is set back only when it rings, or for something earlier: not with every request.
async fn due(
    activity: &Activity,
    mut timer: Pin<&mut Sleep>,
    ending: Option<Instant>,
) -> Option<Due> {
    poll_fn(|cx| {
        loop {
            let (by, due) = activity.due();
            let by = ending.map_or(by, |ending| ending.min(by));
            if by < timer.deadline() || timer.is_elapsed() {
                timer.as_mut().reset(by);
            }
            ready!(timer.as_mut().poll(cx));
            let now = Instant::now();
            if ending.is_some_and(|ending| ending <= now) {
                return Poll::Ready(None);
            }
            if by <= now && due.is_some() {
                return Poll::Ready(due);
            }
        }
    })
    .await
}
