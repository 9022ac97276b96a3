//! A client of one stream that records every byte.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::waiting::soon;

/// Reads a stream byte by byte from its own socket.
pub struct SseReader {
    pub socket: TcpStream,
    /// Status line and header lines.
    pub head: String,
    /// Received bytes that are not parsed yet: with chunk framing, and without it.
    pub raw: Vec<u8>,
    pub body: Vec<u8>,
    /// All received bytes of the body, without chunk framing.
    pub seen: String,
    pub ended: bool,
}

/// One block of a stream.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Block {
    pub id: Option<String>,
    pub event: String,
    pub data: Value,
    pub retry: Option<u64>,
    /// The text of the block as received.
    pub text: String,
}

impl SseReader {
    pub async fn open(address: SocketAddr, request: &str) -> Self {
        Self::send(address, request.as_bytes()).await
    }

    /// Opens a stream with a request that can have bytes that are not UTF-8.
    pub async fn send(address: SocketAddr, request: &[u8]) -> Self {
        Self::send_on(TcpStream::connect(address).await.expect("a connection"), request).await
    }

    /// Opens a stream on an open connection.
    pub async fn on(socket: TcpStream, request: &str) -> Self {
        Self::send_on(socket, request.as_bytes()).await
    }

    async fn send_on(mut socket: TcpStream, request: &[u8]) -> Self {
        socket.write_all(request).await.expect("a request");
        let mut raw = Vec::new();
        let end = loop {
            if let Some(end) = raw.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break end + 4;
            }
            let read = soon("head", socket.read_buf(&mut raw)).await.expect("a head");
            assert_ne!(read, 0, "closed before the head: {}", String::from_utf8_lossy(&raw));
        };
        let head = String::from_utf8(raw.drain(..end).collect()).expect("an ASCII head");
        let (body, seen) = (Vec::new(), String::new());
        Self { socket, head, raw, body, seen, ended: false }
    }

    pub fn status(&self) -> u16 {
        self.head[9..12].parse().expect("a status")
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    /// The next event, with the comments before it. The first event of a stream also has `retry`.
    pub async fn next(&mut self) -> Option<Block> {
        let block = self.next_block().await?;
        // Several clients deliver a block without data as an empty message.
        let has_data = block.text.lines().any(|line| line.starts_with("data: "));
        assert!(has_data && !block.event.is_empty(), "no event: {:?}", block.text);
        Some(block)
    }

    /// The next line, with its line end. The rest of the block is read as if the line was not sent.
    pub async fn next_line(&mut self) -> String {
        loop {
            if let Some(end) = self.body.iter().position(|byte| *byte == b'\n') {
                let line = self.body.drain(..=end).collect();
                let line = String::from_utf8(line).expect("UTF-8");
                self.seen.push_str(&line);
                return line;
            }
            assert!(self.fill().await, "the end instead of a line");
        }
    }

    /// Reads the next event. Fails if it has another kind.
    pub async fn expect(&mut self, event: &str) -> Block {
        assert_eq!(self.status(), 200, "{}", self.head);
        // One time limit for the whole wait, because heartbeats continue without end.
        let block =
            soon(event, self.next()).await.unwrap_or_else(|| panic!("the end instead of {event}"));
        assert_eq!(block.event, event, "{}", block.text);
        block
    }

    /// The next block.
    async fn next_block(&mut self) -> Option<Block> {
        loop {
            if let Some(end) = self.body.windows(2).position(|bytes| bytes == b"\n\n") {
                let text: Vec<u8> = self.body.drain(..end + 2).collect();
                let text = String::from_utf8(text).expect("UTF-8");
                self.seen.push_str(&text);
                return Some(parse(text));
            }
            if !self.fill().await {
                // A stream without an event has only the first line.
                let rest = String::from_utf8_lossy(&self.body);
                let is_comment = |line: &str| line == ":" || line.starts_with("retry: ");
                assert!(rest.lines().all(is_comment), "an unfinished block: {rest:?}");
                return None;
            }
        }
    }

    /// Checks that the stream ends here, and that its framing is complete.
    pub async fn expect_end(&mut self) {
        assert_eq!(soon("end", self.next()).await, None);
    }

    /// Reads more bytes. Returns false at the end of the body.
    pub async fn fill(&mut self) -> bool {
        loop {
            if self.ended {
                return false;
            }
            if self.take_chunk() {
                return !self.ended;
            }
            let read = soon("event", self.socket.read_buf(&mut self.raw)).await.expect("bytes");
            assert_ne!(read, 0, "the connection was cut");
        }
    }

    /// Decodes one chunk (RFC 9112, section 7.1), or takes all bytes if the body is not chunked.
    pub fn take_chunk(&mut self) -> bool {
        if self.header("transfer-encoding").is_none() {
            let length: usize = self.header("content-length").map_or(0, |n| n.parse().expect("n"));
            if self.body.len() + self.seen.len() == length {
                self.ended = true;
                return true;
            }
            let any = !self.raw.is_empty();
            self.body.append(&mut self.raw);
            return any;
        }
        let Some(line) = self.raw.windows(2).position(|bytes| bytes == b"\r\n") else {
            return false;
        };
        let size = std::str::from_utf8(&self.raw[..line]).expect("a chunk size");
        let size = usize::from_str_radix(size, 16).expect("a chunk size");
        if self.raw.len() < line + 2 + size + 2 {
            return false;
        }
        self.raw.drain(..line + 2);
        self.body.extend(self.raw.drain(..size));
        self.raw.drain(..2);
        self.ended = size == 0;
        true
    }
}

fn parse(text: String) -> Block {
    let mut block = Block::default();
    for line in text.lines() {
        match line.split_once(": ") {
            Some(("id", id)) => block.id = Some(id.to_owned()),
            Some(("event", event)) => event.clone_into(&mut block.event),
            Some(("data", data)) => block.data = serde_json::from_str(data).expect("JSON"),
            Some(("retry", retry)) => block.retry = Some(retry.parse().expect("digits")),
            _ => assert!(line.is_empty() || line.starts_with(':'), "a strange line: {line}"),
        }
    }
    Block { text, ..block }
}
