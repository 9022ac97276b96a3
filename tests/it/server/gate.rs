//! The server with a test endpoint: it has a path for each case, and no gateway behind it.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use poem::{
    Body, EndpointExt, Request, Response,
    http::{StatusCode, header},
};
use streamgate::{
    limit::ConnectionLimits,
    server::{self, Settings},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::support::{connect_with_small_buffer, tls::certificate};

/// Time limit of a step.
pub const BOUND: Duration = Duration::from_secs(10);

/// A timeout that is short enough to wait for.
pub const SHORT: Duration = Duration::from_millis(300);

/// Number of bytes of a large response.
pub const LARGE: usize = 4 << 20;

#[derive(Debug, PartialEq)]
pub enum Event {
    Requested,
    Dropped,
}

pub struct Gate {
    pub address: SocketAddr,
    pub events: mpsc::UnboundedReceiver<Event>,
    /// Lets `/slow` respond.
    pub release: watch::Sender<bool>,
    pub stop: CancellationToken,
    pub ended: JoinHandle<io::Result<()>>,
}

impl Gate {
    pub async fn open(settings: Settings) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (told, events) = mpsc::unbounded_channel();
        let (release, released) = watch::channel(false);
        let stop = CancellationToken::new();
        Self {
            address: listener.local_addr().unwrap(),
            events,
            release,
            stop: stop.clone(),
            ended: tokio::spawn(server::serve(listener, endpoint(told, released), settings, stop)),
        }
    }

    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends bytes on a connection with a small receive buffer.
    pub async fn send_unread(&self, bytes: impl AsRef<[u8]>) -> TcpStream {
        let mut client = connect_with_small_buffer(self.address).await;
        timeout(BOUND, client.write_all(bytes.as_ref())).await.unwrap().unwrap();
        client
    }

    pub async fn send(&self, bytes: impl AsRef<[u8]>) -> TcpStream {
        let mut client = self.connect().await;
        timeout(BOUND, client.write_all(bytes.as_ref())).await.unwrap().unwrap();
        client
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub async fn expect(&mut self, event: Event) {
        let next = timeout(BOUND, self.events.recv()).await;
        assert_eq!(next.expect("nothing happened"), Some(event));
    }

    /// Checks that `serve` returns within [`BOUND`].
    pub async fn ends(self) {
        let ended = timeout(BOUND, self.ended).await;
        ended.expect("still serving").unwrap().unwrap();
    }
}

fn error_body(status: StatusCode) -> (String, String) {
    ("some-id".to_owned(), format!("a body for {}", status.as_u16()))
}

pub fn settings() -> Settings {
    Settings {
        header_timeout: BOUND,
        idle_timeout: BOUND,
        write_timeout: BOUND,
        unread_limit: 16 << 20,
        connections: ConnectionLimits { total: 100, per_address: 100, exempt: Vec::new() },
        head_limit: 8192,
        drain: BOUND,
        tls: None,
        error_body,
        telemetry: Arc::default(),
    }
}

/// `/`: protocol version and scheme. `/endless`: one chunk, then nothing, and an event when it is
/// dropped. `/unread`: the same, and it keeps the request body. `/slow`: responds when released.
/// `/refuse`: 413 before the body. `/large`: 4 MiB, copied for each response. `/shared`: 4 MiB that
/// all responses share. `/flood`: a stream that never pauses. `/upgrade`: echoes one byte and
/// closes.
pub fn endpoint(
    told: mpsc::UnboundedSender<Event>,
    released: watch::Receiver<bool>,
) -> poem::endpoint::BoxEndpoint<'static, Response> {
    let shared = Bytes::from(vec![b'x'; LARGE]);
    poem::endpoint::make(move |request: Request| {
        let told = told.clone();
        let mut released = released.clone();
        let shared = shared.clone();
        async move {
            match request.uri().path() {
                "/endless" => endless(told, None),
                "/unread" => endless(told, Some(request.into_body())),
                "/slow" => {
                    let _dropped = DropNotice(told.clone());
                    told.send(Event::Requested).unwrap();
                    released.wait_for(|released| *released).await.unwrap();
                    Response::from("done")
                }
                "/refuse" => StatusCode::PAYLOAD_TOO_LARGE.into(),
                "/large" => vec![b'x'; LARGE].into(),
                "/shared" => Response::from(shared),
                "/flood" => {
                    let guard = DropNotice(told);
                    let flood = stream::repeat_with(move || {
                        let _dropped = &guard;
                        io::Result::Ok(Bytes::from_static(&[b'x'; 1024]))
                    });
                    Response::builder().body(Body::from_bytes_stream(flood))
                }
                "/upgrade" => {
                    let upgrade = request.take_upgrade().unwrap();
                    tokio::spawn(async move {
                        let mut socket = upgrade.await.unwrap();
                        let byte = socket.read_u8().await.unwrap();
                        socket.write_u8(byte).await.unwrap();
                    });
                    Response::builder()
                        .status(StatusCode::SWITCHING_PROTOCOLS)
                        .header(header::CONNECTION, "upgrade")
                        .header(header::UPGRADE, "echo")
                        .finish()
                }
                _ => Response::from(format!("{:?} {}", request.version(), request.scheme())),
            }
        }
    })
    .map_to_response()
    .boxed()
}

/// Sends an event when it is dropped.
struct DropNotice(mpsc::UnboundedSender<Event>);

impl Drop for DropNotice {
    fn drop(&mut self) {
        // The receiver no longer exists when a test has ended.
        let _ = self.0.send(Event::Dropped);
    }
}

fn endless(told: mpsc::UnboundedSender<Event>, held: Option<Body>) -> Response {
    let guard = (DropNotice(told), held.map(std::sync::Mutex::new));
    let first = stream::iter([io::Result::Ok(Bytes::from_static(b"data: 1\n\n"))]);
    let body = first.chain(stream::pending()).map(move |chunk| {
        let _held = &guard;
        chunk
    });
    Response::builder().body(Body::from_bytes_stream(body))
}

/// A server with its own certificate, and the files of the certificate.
pub async fn secure(header_timeout: Duration) -> (Gate, tempfile::TempDir) {
    let files = certificate();
    let tls = server::tls(&files.path().join("cert.pem"), &files.path().join("key.pem"));
    let settings = Settings { header_timeout, tls: Some(tls.unwrap()), ..settings() };
    (Gate::open(settings).await, files)
}
