//! One stream: opens it, then counts its events as fast as possible.

use std::{
    io::{ErrorKind, Read, Write},
    net::SocketAddr,
    time::Duration,
};

use anyhow::{Context, bail};
use memchr::memmem;
use mio::{Interest, Registry, Token, net::TcpStream};
use serde::{Deserialize, Serialize};

use crate::event;

/// Time limit of a handshake on the same machine.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes, more than any response head with its snapshot.
const OPENING_LIMIT: usize = 64 * 1024;

/// The moment at which a stream counts as open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Ready {
    /// The response head was received.
    Head,
    /// The first event, a `snapshot`, was received.
    Snapshot,
}

/// The result of one read from a stream.
#[derive(Default)]
pub(super) struct Received {
    /// Number of events.
    pub(super) events: u64,
    /// Whether this read completed the opening of the stream.
    pub(super) opened: bool,
    /// The reason, if the stream has ended.
    pub(super) ended: Option<String>,
}

/// A stream.
pub(super) struct Subscriber {
    stream: TcpStream,
    ready: Ready,
    /// Bytes received before the stream is open. None afterwards.
    opening: Option<Vec<u8>>,
    pub(super) topic: usize,
}

impl Subscriber {
    /// Connects and sends the request. This blocks, because a handshake on the same machine takes almost no time.
    pub(super) fn open(
        address: SocketAddr,
        request: &str,
        ready: Ready,
        topic: usize,
        (registry, token): (&Registry, Token),
    ) -> anyhow::Result<Self> {
        let mut stream = std::net::TcpStream::connect_timeout(&address, CONNECT_TIMEOUT)?;
        stream.set_nodelay(true)?;
        stream.write_all(request.as_bytes())?;
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        registry.register(&mut stream, token, Interest::READABLE)?;
        Ok(Self { stream, ready, opening: Some(Vec::new()), topic })
    }

    pub(super) fn is_open(&self) -> bool {
        self.opening.is_none()
    }

    /// Reads the bytes received so far. `times`, if given, is called with the time in every event.
    pub(super) fn read(
        &mut self,
        buffer: &mut [u8],
        mut times: Option<&mut dyn FnMut(u64)>,
    ) -> Received {
        let mut received = Received::default();
        loop {
            let read = match self.stream.read(buffer) {
                Ok(0) => {
                    let head = self.opening.take().unwrap_or_default();
                    let text = String::from_utf8_lossy(&head).chars().take(200).collect::<String>();
                    received.ended = Some(format!("closed {text}").trim_end().to_owned());
                    return received;
                }
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return received,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => {
                    received.ended = Some(error.to_string());
                    return received;
                }
            };
            let bytes = &buffer[..read];
            if self.opening.is_some() {
                match self.read_opening(bytes) {
                    Ok(opened) => received.opened |= opened,
                    Err(error) => {
                        received.ended = Some(error.to_string());
                        return received;
                    }
                }
            } else {
                received.events += memchr::memchr_iter(event::MARK, bytes).count() as u64;
                if let Some(times) = &mut times {
                    let marks = memchr::memchr_iter(event::MARK, bytes);
                    marks.filter_map(|at| event::time(&bytes[at + 1..])).for_each(times);
                }
            }
            // A short read has emptied the socket (epoll(7), question 9). The next byte makes the socket
            // ready again. Another read here would double the work of this program.
            if read < buffer.len() {
                return received;
            }
        }
    }

    /// Adds bytes received before the stream is open. Returns whether it is open now.
    fn read_opening(&mut self, bytes: &[u8]) -> anyhow::Result<bool> {
        let opening = self.opening.as_mut().context("the stream is already open")?;
        opening.extend_from_slice(bytes);
        let Some(head) = memmem::find(opening, b"\r\n\r\n") else {
            return Ok(false);
        };
        if !opening.starts_with(b"HTTP/1.1 200") {
            let line = opening.split(|byte| *byte == b'\r').next().unwrap_or_default();
            bail!("refused: {}", String::from_utf8_lossy(line));
        }
        let is_open = match self.ready {
            Ready::Head => true,
            Ready::Snapshot => memmem::find(&opening[head..], b"event: snapshot\n")
                .is_some_and(|at| memmem::find(&opening[head + at..], b"\n\n").is_some()),
        };
        if is_open {
            self.opening = None;
        } else if opening.len() > OPENING_LIMIT {
            bail!("no snapshot in {OPENING_LIMIT} bytes");
        }
        Ok(is_open)
    }
}
