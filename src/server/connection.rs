//! One connection from its first byte to its last.

use std::error::Error;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use hyper::body::Incoming;
use hyper::server::conn::http1::UpgradeableConnection;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use poem::http::Version;
use poem::http::uri::Scheme;
use poem::web::{LocalAddr, RemoteAddr};
use poem::{Body, Endpoint};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest};
use tokio::net::TcpStream;
use tokio::select;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::Server;
use super::head::head;
use super::refusal::Refusing;
use super::socket::{Socket, linger, preface};
use crate::hub::{Handover, Subscription};

/// How long bytes may lie unacknowledged or unread before the connection is given up. A client that
/// slept for longer reconnects and resumes.
const UNREAD: Duration = Duration::from_mins(1);

/// Bytes that the kernel takes for a connection beyond what is on its way: else megabytes for each
/// client that does not read, of which most would be out of date by the time it does.
const UNSENT: u32 = 64 << 10;

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
    /// What the socket is to be given to once hyper has let go of it.
    leaving: Arc<Mutex<Option<Leaving>>>,
}

type Ended = Result<(), Box<dyn Error + Send + Sync>>;

/// A stream that leaves by the socket itself, with the head of its response.
struct Leaving {
    head: Vec<u8>,
    subscription: Subscription,
}

/// Makes hyper end a connection without a word.
#[derive(Debug, thiserror::Error)]
#[error("the socket is given to a stream")]
struct Left;

/// The whole life of a connection.
pub(super) async fn attend(server: Arc<Server>, tcp: TcpStream, remote: SocketAddr) {
    let stop = server.stop.clone();
    let tcp = Arc::new(tcp);
    let leaving = Arc::default();
    if let Err(error) = converse(server, &tcp, remote, &leaving).await {
        // Only the outer text: a cause may quote what the peer sent.
        tracing::debug!(%remote, %error, "connection ended early");
    }
    // After an upgrade the socket has another owner, who closes it.
    let Some(tcp) = Arc::into_inner(tcp) else { return };
    let leaving = lock(&leaving).take();
    match leaving {
        Some(Leaving { head, subscription }) => match tcp.into_std() {
            Ok(socket) => subscription.onto_socket(socket, &head),
            Err(error) => tracing::warn!(%error, "cannot take over a socket"),
        },
        None => {
            stop.run_until_cancelled(timeout(LINGER, linger(tcp))).await;
        }
    }
}

async fn converse(
    server: Arc<Server>,
    tcp: &Arc<TcpStream>,
    remote: SocketAddr,
    leaving: &Arc<Mutex<Option<Leaving>>>,
) -> Ended {
    // An event must not wait for the acknowledgement of the one before (Nagle's algorithm).
    tcp.set_nodelay(true)?;
    // A peer that vanished without a word, or that has stopped reading, holds a slot for as long as
    // something for it is under way: to the kernel a quarter of an hour (RFC 5482).
    SockRef::from(&**tcp).set_tcp_user_timeout(Some(UNREAD))?;
    SockRef::from(&**tcp).set_tcp_notsent_lowat(UNSENT)?;
    let connection = Connection {
        local: tcp.local_addr()?,
        remote,
        asked: Arc::default(),
        deadline: Instant::now() + server.header_timeout,
        tcp: Arc::clone(tcp),
        leaving: Arc::clone(leaving),
        server,
    };
    let ended = connection.decide().await;
    // hyper knows only that its service failed, which is how it is made to let go.
    if lock(leaving).is_some() { Ok(()) } else { ended }
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

    /// Lets hyper answer with the endpoint what is asked on `io`. A stream leaves by the socket
    /// itself if that carries nothing but this one answer: on HTTP/1.1 without TLS, where hyper reads
    /// no request before the answer to the one before is out. Else it is the body of the response.
    async fn speak<I>(&self, io: I, h2: bool, scheme: Scheme) -> Ended
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (local, remote) = (self.local, self.remote);
        let (server, asked) = (Arc::clone(&self.server), Arc::clone(&self.asked));
        let leaving = Arc::clone(&self.leaving);
        let is_own = !h2 && scheme == Scheme::HTTP;
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            asked.store(true, Ordering::Relaxed);
            let (local, remote) = (LocalAddr(local.into()), RemoteAddr(remote.into()));
            let is_own = is_own && request.version() == Version::HTTP_11;
            let request = (request, local, remote, scheme.clone()).into();
            let (server, leaving) = (Arc::clone(&server), Arc::clone(&leaving));
            // Boxed, or hyper keeps room for the 12 KiB of this future in every connection.
            Box::pin(async move {
                let mut response = server.endpoint.get_response(request).await;
                let handover = response.extensions_mut().remove::<Handover>();
                if let Some(subscription) = handover.and_then(|handover| handover.take()) {
                    if is_own {
                        *lock(&leaving) = Some(Leaving { head: head(&response), subscription });
                        return Err(Left);
                    }
                    let frames = subscription.into_body().map(Ok::<_, io::Error>);
                    response.set_body(Body::from_bytes_stream(frames));
                }
                Ok(hyper::Response::from(response))
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

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
