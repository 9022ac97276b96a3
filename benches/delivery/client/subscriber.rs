//! One stream: opened, then its events are counted as fast as they can be found.

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

/// For a handshake on the same machine.
const CONNECTING: Duration = Duration::from_secs(5);
/// Longer than any head with its snapshot.
const OPENING: usize = 64 * 1024;

/// When a stream counts as open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Ready {
    /// When the answer's head is there.
    Head,
    /// When the first event, a `snapshot`, is there.
    Snapshot,
}

/// What one look at a stream has brought.
#[derive(Default)]
pub(super) struct Seen {
    /// Events.
    pub(super) events: u64,
    /// It has just become ready.
    pub(super) opened: bool,
    /// It has ended: why.
    pub(super) ended: Option<String>,
}

/// A stream.
pub(super) struct Subscriber {
    stream: TcpStream,
    ready: Ready,
    /// What was read before it was open; nothing later.
    opening: Option<Vec<u8>>,
    pub(super) topic: usize,
}

impl Subscriber {
    /// Connects and asks. Blocking, because a handshake on the same machine is done at once.
    pub(super) fn open(
        address: SocketAddr,
        request: &str,
        ready: Ready,
        topic: usize,
        (registry, token): (&Registry, Token),
    ) -> anyhow::Result<Self> {
        let mut stream = std::net::TcpStream::connect_timeout(&address, CONNECTING)?;
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

    /// Reads what is there. `stamps` gets the time of every event, if somebody wants to know.
    pub(super) fn read(
        &mut self,
        buffer: &mut [u8],
        mut stamps: Option<&mut dyn FnMut(u64)>,
    ) -> Seen {
        let mut seen = Seen::default();
        loop {
            let read = match self.stream.read(buffer) {
                Ok(0) => {
                    let head = self.opening.take().unwrap_or_default();
                    let said = String::from_utf8_lossy(&head).chars().take(200).collect::<String>();
                    seen.ended = Some(format!("closed {said}").trim_end().to_owned());
                    return seen;
                }
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return seen,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => {
                    seen.ended = Some(error.to_string());
                    return seen;
                }
            };
            let bytes = &buffer[..read];
            if self.opening.is_some() {
                match self.admit(bytes) {
                    Ok(opened) => seen.opened |= opened,
                    Err(error) => {
                        seen.ended = Some(error.to_string());
                        return seen;
                    }
                }
            } else {
                seen.events += memchr::memchr_iter(event::MARK, bytes).count() as u64;
                if let Some(stamps) = &mut stamps {
                    let marks = memchr::memchr_iter(event::MARK, bytes);
                    marks.filter_map(|at| event::stamp(&bytes[at + 1..])).for_each(stamps);
                }
            }
            // A read that comes back short has emptied the socket (epoll(7), question 9): the next
            // byte is a new event, and asking once more would be half of this program's work.
            if read < buffer.len() {
                return seen;
            }
        }
    }

    /// Takes in what comes before the stream is open; whether it is now.
    fn admit(&mut self, bytes: &[u8]) -> anyhow::Result<bool> {
        let opening = self.opening.as_mut().context("it is open")?;
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
        } else if opening.len() > OPENING {
            bail!("no snapshot in {OPENING} bytes");
        }
        Ok(is_open)
    }
}
