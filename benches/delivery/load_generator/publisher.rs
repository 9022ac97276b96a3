//! One connection that publishes: a request, its response, the next request.

use std::{
    io::{ErrorKind, Read, Write},
    net::SocketAddr,
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use memchr::memmem;
use mio::{Interest, Registry, Token, net::TcpStream};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::event;

/// Time limit of a handshake on the same machine.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The form of a publish request, which differs between the servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Form {
    /// `POST PATH/{topic}` with the data as the body.
    Data,
    /// `POST PATH/` with Pushpin's list of items, which contain the bytes of the stream.
    Items,
    /// `POST PATH/{topic}?count=N` without a body. The server creates the data of the events.
    Count(usize),
    /// `POST` of this many small events, as an agent sends them: several are NDJSON lines. Each topic
    /// has a path, see [`super::Publish::paths`].
    Events(usize),
}

/// The times, in nanoseconds, at which a request was due and at which it was sent.
#[derive(Clone, Copy)]
pub(super) struct Sent {
    pub(super) due: u64,
    pub(super) at: u64,
}

/// A connection that publishes.
pub(super) struct Publisher {
    address: SocketAddr,
    token: Token,
    stream: Option<TcpStream>,
    received: Vec<u8>,
    unanswered: Option<Sent>,
}

impl Publisher {
    pub(super) fn new(address: SocketAddr, token: Token) -> Self {
        Self { address, token, stream: None, received: Vec::new(), unanswered: None }
    }

    /// Sends a request. It fits into the socket's buffer, so the write does not wait.
    pub(super) fn publish(
        &mut self,
        registry: &Registry,
        request: &str,
        sent: Sent,
    ) -> anyhow::Result<()> {
        if self.stream.is_none() {
            let stream = std::net::TcpStream::connect_timeout(&self.address, CONNECT_TIMEOUT)?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(stream);
            registry.register(&mut stream, self.token, Interest::READABLE)?;
            self.stream = Some(stream);
        }
        let stream = self.stream.as_mut().context("the publisher is not connected")?;
        stream.write_all(request.as_bytes()).context("publishing")?;
        self.received.clear();
        self.unanswered = Some(sent);
        Ok(())
    }

    /// Reads the bytes received so far. Returns the times of the request whose response is now complete.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> anyhow::Result<Option<Sent>> {
        loop {
            let Some(stream) = &mut self.stream else { return Ok(None) };
            match stream.read(buffer) {
                Ok(0) => {
                    self.stream = None;
                    ensure!(self.unanswered.is_none(), "the publisher's connection was closed");
                    return Ok(None);
                }
                Ok(read) => self.received.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error).context("reading the response to a publish"),
            }
            if self.is_answered()? {
                return Ok(self.unanswered.take());
            }
        }
    }

    /// Whether the response is complete. Returns an error if its status is not a success.
    fn is_answered(&mut self) -> anyhow::Result<bool> {
        let Some(end) = memmem::find(&self.received, b"\r\n\r\n") else { return Ok(false) };
        let head = std::str::from_utf8(&self.received[..end])?.to_ascii_lowercase();
        if !head.starts_with("http/1.1 20") {
            bail!("a publish was refused: {}", head.lines().next().unwrap_or_default());
        }
        let field = |name: &str| {
            head.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim()))
        };
        let length = field("content-length").map_or(Ok(0), str::parse::<usize>)?;
        let is_whole = self.received.len() >= end + 4 + length;
        if is_whole && field("connection") == Some("close") {
            self.stream = None;
        }
        Ok(is_whole)
    }
}

/// Encodes a publish request. For [`Form::Events`], `path` is `PATH TAB AUTHORIZATION`.
pub(super) fn request(form: Form, path: &str, topic: usize, nanos: u64) -> String {
    let mut fields = String::new();
    let (target, body) = match form {
        Form::Data => (format!("{path}/{topic}"), event::data(nanos)),
        Form::Count(count) => (format!("{path}/{topic}?count={count}"), String::new()),
        Form::Items => {
            let content = format!("event: bench\ndata: {}\n\n", event::data(nanos));
            let formats = json!({ "http-stream": { "content": content } });
            let items = json!({ "items": [{ "channel": topic.to_string(), "formats": formats }] });
            (format!("{path}/"), items.to_string())
        }
        Form::Events(count) => {
            let (path, authorization) = path.split_once('\t').unwrap_or((path, ""));
            let kind = if count == 1 { "json" } else { "x-ndjson" };
            fields =
                format!("Authorization: {authorization}\r\nContent-Type: application/{kind}\r\n");
            (path.to_owned(), vec![event::SMALL; count].join("\n"))
        }
    };
    let length = body.len();
    format!(
        "POST {target} HTTP/1.1\r\nHost: bench\r\n{fields}Content-Length: {length}\r\n\r\n{body}"
    )
}
