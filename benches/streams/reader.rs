//! Readers of streams: bare sockets, because an HTTP client would cost more than what it measures.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};
use reqwest::RequestBuilder;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
    task::JoinSet,
    time::timeout,
};

/// What a publish puts into the streams.
pub(crate) const PUBLISHED: &str = "\nevent: mutation.enqueued\n";
const SNAPSHOT: &str = "event: snapshot\n";

/// Connections being opened at the same time: well below a listener's usual backlog, well above
/// the cores.
const OPENING: usize = 64;
/// For all readers to have one event.
const PATIENCE: Duration = Duration::from_secs(10);

/// One reader.
pub(crate) struct Reader {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Reader {
    /// Reads on to the block that contains `text`, and returns it as it came over the wire.
    pub(crate) async fn block(&mut self, text: &str) -> anyhow::Result<String> {
        loop {
            while let Some(end) = self.unread.windows(2).position(|bytes| bytes == b"\n\n") {
                let rest = self.unread.split_off(end + 2);
                let block = String::from_utf8(std::mem::replace(&mut self.unread, rest))?;
                if block.contains(text) {
                    return Ok(block);
                }
            }
            if self.stream.read_buf(&mut self.unread).await? == 0 {
                bail!("the stream ended: {}", String::from_utf8_lossy(&self.unread));
            }
        }
    }
}

/// Opens one stream and reads to its snapshot.
pub(crate) async fn open(address: SocketAddr, request: &str) -> anyhow::Result<Reader> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut reader = Reader { stream, unread: Vec::new() };
    reader.block(SNAPSHOT).await?;
    Ok(reader)
}

/// Opens `count` streams, each read to its snapshot.
pub(crate) async fn open_all(
    address: SocketAddr,
    request: &str,
    count: u32,
) -> anyhow::Result<Vec<Reader>> {
    let opening = (0..count).map(|_| open(address, request));
    stream::iter(opening).buffer_unordered(OPENING).try_collect().await
}

/// Readers who wait for the same event, each a task of its own.
pub(crate) struct Audience {
    arrivals: mpsc::UnboundedReceiver<(Instant, Instant)>,
    _readers: JoinSet<anyhow::Result<()>>,
}

/// When one publish arrived, counted from before its request was sent.
pub(crate) struct Round {
    pub(crate) first: Duration,
    pub(crate) last: Duration,
}

#[derive(Default)]
struct Arrived {
    count: usize,
    first: Option<Instant>,
}

impl Audience {
    pub(crate) fn seat(crowd: Vec<Reader>) -> Self {
        let (all, arrivals) = mpsc::unbounded_channel();
        let arrived = Arc::new(Mutex::new(Arrived::default()));
        let size = crowd.len();
        let mut readers = JoinSet::new();
        for mut reader in crowd {
            let (all, arrived) = (all.clone(), Arc::clone(&arrived));
            readers.spawn(async move {
                loop {
                    reader.block(PUBLISHED).await?;
                    let now = Instant::now();
                    let mut arrived = arrived.lock().unwrap_or_else(PoisonError::into_inner);
                    let first = *arrived.first.get_or_insert(now);
                    arrived.count += 1;
                    // Only the last one wakes whoever waits: the others would disturb the rest.
                    if arrived.count == size {
                        *arrived = Arrived::default();
                        all.send((first, now))?;
                    }
                }
            });
        }
        Self { arrivals, _readers: readers }
    }

    /// Sends a request and waits until every reader has what it publishes.
    pub(crate) async fn round(&mut self, publish: RequestBuilder) -> anyhow::Result<Round> {
        let began = Instant::now();
        let (answer, arrived) =
            tokio::join!(publish.send(), timeout(PATIENCE, self.arrivals.recv()));
        answer?.error_for_status()?;
        let (first, last) = arrived.context("a reader missed the event")?.context("no readers")?;
        ensure!(first >= began, "an event came before it was published");
        Ok(Round { first: first - began, last: last - began })
    }
}
