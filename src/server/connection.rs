//! One connection from its first byte to its last.

use std::convert::Infallible;
use std::error::Error;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1::UpgradeableConnection;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use poem::Endpoint;
use poem::http::uri::Scheme;
use poem::web::{LocalAddr, RemoteAddr};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest};
use tokio::net::TcpStream;
use tokio::select;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::Server;
use super::refusal::Refusing;
use super::socket::{Socket, linger, preface};

/// How long bytes may lie unacknowledged or unread before the connection is given up. A client that
/// slept for longer reconnects and resumes.
const UNREAD: Duration = Duration::from_mins(1);

/// How long a peer that is still sending may take to read the last answer.
const LINGER: Duration = Duration::from_secs(1);

/// A client that has connected.
struct Connection {
    server: Arc<Server>,
    tcp: Arc<TcpStream>,
    local: SocketAddr,
    remote: SocketAddr,
    /// Whether the first request is here, and by when it must be.
    asked: Arc<AtomicBool>,
    deadline: Instant,
}

type Ended = Result<(), Box<dyn Error + Send + Sync>>;

/// The whole life of a connection.
pub(super) async fn attend(server: Arc<Server>, tcp: TcpStream, remote: SocketAddr) {
    let stop = server.stop.clone();
    let tcp = Arc::new(tcp);
    if let Err(error) = converse(server, &tcp, remote).await {
        // Only the outer text: a cause may quote what the peer sent.
        tracing::debug!(%remote, %error, "connection ended early");
    }
    // After an upgrade the socket has another owner, who closes it.
    if let Some(tcp) = Arc::into_inner(tcp) {
        stop.run_until_cancelled(timeout(LINGER, linger(tcp))).await;
    }
}

async fn converse(server: Arc<Server>, tcp: &Arc<TcpStream>, remote: SocketAddr) -> Ended {
    // An event must not wait for the acknowledgement of the one before (Nagle's algorithm).
    tcp.set_nodelay(true)?;
    // A peer that vanished without a word, or that has stopped reading, holds a slot for as long as
    // something for it is under way: to the kernel a quarter of an hour (RFC 5482).
    SockRef::from(&**tcp).set_tcp_user_timeout(Some(UNREAD))?;
    let connection = Connection {
        local: tcp.local_addr()?,
        remote,
        asked: Arc::default(),
        deadline: Instant::now() + server.header_timeout,
        tcp: Arc::clone(tcp),
        server,
    };
    connection.decide().await
}

impl Connection {
    /// Decides who speaks on this socket, and lets it speak.
    async fn decide(&self) -> Ended {
        let mut socket = Socket::new(&self.tcp);
        let Some(tls) = &self.server.tls else {
            let h2 = self.open(preface(&mut socket)).await?;
            return self.speak(socket, h2, Scheme::HTTP).await;
        };
        // Over TLS it is ALPN, not the preface, that chooses HTTP/2 (RFC 9113 section 3.2).
        let stream = self.open(Box::pin(tls.accept(socket))).await?;
        let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        self.speak(stream, h2, Scheme::HTTPS).await
    }

    /// A step before HTTP begins: nothing was asked yet, so `stop` may cut it short.
    async fn open<T>(&self, step: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        let step = timeout_at(self.deadline, step);
        let done = self.server.stop.run_until_cancelled(step).await;
        done.ok_or(ErrorKind::ConnectionAborted)??
    }

    /// Lets hyper answer with the endpoint what is asked on `io`.
    async fn speak<I>(&self, io: I, h2: bool, scheme: Scheme) -> Ended
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (local, remote) = (self.local, self.remote);
        let (server, asked) = (Arc::clone(&self.server), Arc::clone(&self.asked));
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            asked.store(true, Ordering::Relaxed);
            let (local, remote) = (LocalAddr(local.into()), RemoteAddr(remote.into()));
            let request = (request, local, remote, scheme.clone()).into();
            let server = Arc::clone(&server);
            // Boxed, or hyper keeps room for the 12 KiB of this future in every connection.
            Box::pin(async move {
                let response = server.endpoint.get_response(request).await;
                Ok::<_, Infallible>(hyper::Response::from(response))
            })
        });
        let server = &self.server;
        if h2 {
            let conversation = server.http2.serve_connection(TokioIo::new(io), service);
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
        // tokio adds "the peer has closed" to every readiness one can wait for. PRIORITY (data
        // out of band, which we never register for) is the one where nothing else comes along, so
        // it tells of FIN and RST while bytes wait unread. hyper sees neither as long as it has no
        // use for what the client sent: a pipelined request, a body that nobody reads.
        let mut hung_up = pin!(self.tcp.ready(Interest::PRIORITY));
        // A token of its own, lest every event on every connection takes one shared lock.
        let stop = self.server.stop.child_token();
        let mut stopped = pin!(stop.cancelled());
        let mut timer = pin!(sleep_until(self.deadline));
        let (mut counting, mut ending) = (true, false);
        loop {
            select! {
                biased;
                ended = &mut conversation => return Ok(ended?),
                _ = &mut hung_up => return Ok(()),
                () = &mut stopped, if !ending => {
                    finish(conversation.as_mut());
                    timer.as_mut().reset(Instant::now() + self.server.drain);
                    (counting, ending) = (true, true);
                }
                () = &mut timer, if counting => {
                    if ending || !self.asked.load(Ordering::Relaxed) {
                        return Err(Box::new(io::Error::from(ErrorKind::TimedOut)));
                    }
                    counting = false;
                }
            }
        }
    }
}
