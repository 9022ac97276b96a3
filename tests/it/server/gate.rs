//! The accept loop, with raw sockets where a client library would be too polite.

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
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{mpsc, watch},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// What no test may take.
pub const BOUND: Duration = Duration::from_secs(10);

/// A header timeout short enough to wait for.
pub const SHORT: Duration = Duration::from_millis(300);

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Bytes of a large answer.
pub const LARGE: usize = 4 << 20;

/// `SETTINGS` without any.
pub const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

#[derive(Debug, PartialEq)]
pub enum Event {
    Asked,
    Dropped,
}

pub struct Gate {
    pub address: SocketAddr,
    pub events: mpsc::UnboundedReceiver<Event>,
    /// Lets `/slow` answer.
    pub release: watch::Sender<bool>,
    pub stop: CancellationToken,
    pub ended: JoinHandle<io::Result<()>>,
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

    /// A client that has room for next to nothing.
    pub async fn send_deaf(&self, bytes: impl AsRef<[u8]>) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let mut client = socket.connect(self.address).await.unwrap();
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

    /// `serve` returns within the bound.
    pub async fn ends(self) {
        let ended = timeout(BOUND, self.ended).await;
        ended.expect("still serving").unwrap().unwrap();
    }
}

/// `/`: how it was asked. `/endless`: one chunk, then nothing, and an event when it is dropped.
/// `/unread`: the same, holding the body of the request. `/slow`: answers when released.
/// `/refuse`: 413 before the body. `/large`: 4 MiB of its own. `/shared`: the same bytes as every
/// other time. `/flood`: a stream that never pauses. `/upgrade`: echoes one byte and leaves.
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
                    let _dropped = Told(told.clone());
                    told.send(Event::Asked).unwrap();
                    released.wait_for(|released| *released).await.unwrap();
                    Response::from("done")
                }
                "/refuse" => StatusCode::PAYLOAD_TOO_LARGE.into(),
                "/large" => vec![b'x'; LARGE].into(),
                "/shared" => Response::from(shared),
                "/flood" => {
                    let guard = Told(told);
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

/// Tells when it is dropped.
struct Told(mpsc::UnboundedSender<Event>);

impl Drop for Told {
    fn drop(&mut self) {
        // Nobody listens any more when a test is over.
        let _ = self.0.send(Event::Dropped);
    }
}

fn endless(told: mpsc::UnboundedSender<Event>, held: Option<Body>) -> Response {
    let guard = (Told(told), held.map(std::sync::Mutex::new));
    let first = stream::iter([io::Result::Ok(Bytes::from_static(b"data: 1\n\n"))]);
    let body = first.chain(stream::pending()).map(move |chunk| {
        let _held = &guard;
        chunk
    });
    Response::builder().body(Body::from_bytes_stream(body))
}

/// Reads until `end` has come.
pub async fn read_until(client: &mut TcpStream, end: &str) -> String {
    let mut got = Vec::new();
    while !got.ends_with(end.as_bytes()) {
        let read = timeout(BOUND, client.read_buf(&mut got)).await.unwrap();
        assert_ne!(read.unwrap(), 0, "closed after {:?}", String::from_utf8_lossy(&got));
    }
    String::from_utf8(got).unwrap()
}

/// Reads to the end, which must be a FIN.
pub async fn read_to_end(client: &mut TcpStream) -> Vec<u8> {
    let mut got = Vec::new();
    let read = timeout(BOUND, client.read_to_end(&mut got)).await;
    read.expect("still open").unwrap();
    got
}

/// An HTTP/2 frame on stream `id` (RFC 9113 section 4.1).
pub fn frame(kind: u8, flags: u8, id: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    [&[0, 0, length, kind, flags, 0, 0, 0, id], payload].concat()
}

/// HEADERS that ask for `path`, in HPACK without Huffman coding (RFC 7541).
pub fn ask(path: &str) -> Vec<u8> {
    const END_STREAM_AND_HEADERS: u8 = 0x5;
    let length = u8::try_from(path.len()).unwrap();
    let fields = [&[0x82, 0x86, 0x41, 1, b'x', 0x44, length], path.as_bytes()].concat();
    frame(1, END_STREAM_AND_HEADERS, 1, &fields)
}

pub fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n")
}

pub fn h1() -> reqwest::Client {
    reqwest::Client::builder().timeout(BOUND).build().unwrap()
}

pub fn h2c() -> reqwest::Client {
    let client = reqwest::Client::builder().timeout(BOUND);
    client.http2_prior_knowledge().build().unwrap()
}

pub async fn read_until_bytes(client: &mut TcpStream, end: &[u8]) -> Vec<u8> {
    let mut got = Vec::new();
    while !got.ends_with(end) {
        let read = timeout(BOUND, client.read_buf(&mut got)).await.unwrap();
        assert_ne!(read.unwrap(), 0, "closed after {got:?}");
    }
    got
}

/// Kind, stream and payload of the next frame of HTTP/2.
pub async fn read_frame(client: &mut TcpStream) -> (u8, u8, Vec<u8>) {
    let mut head = [0; 9];
    timeout(BOUND, client.read_exact(&mut head)).await.expect("no frame").expect("closed");
    let [a, b, c, kind, _, _, _, _, id] = head;
    let mut payload = vec![0; usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c)];
    timeout(BOUND, client.read_exact(&mut payload)).await.unwrap().unwrap();
    (kind, id, payload)
}

/// Waits for a condition that nothing announces.
pub async fn until(condition: impl Fn() -> bool) {
    let met = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(BOUND, met).await.expect("not in time");
}
