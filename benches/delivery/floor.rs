//! The floor, which is the lowest cost that a server can have. One epoll thread writes the same bytes to every
//! subscriber with one `write()` each. It has no HTTP library, no login, no queue and no heartbeat.
//!
//! In the role [`Role::Origin`], the same loop is the server behind Pushpin, and tells Pushpin to hold the streams.

use std::{
    io::{ErrorKind, Read, Write, stdin, stdout},
    thread,
};

use memchr::memmem;
use mio::{
    Events, Interest, Poll, Token, Waker,
    net::{TcpListener, TcpStream},
};

use crate::child::LISTENING;

const LISTENER: Token = Token(usize::MAX);
const END_OF_INPUT: Token = Token(usize::MAX - 1);

const STREAM: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
const ACKNOWLEDGEMENT: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// The role of the loop.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Accepts subscribers and publishes to them.
    Floor,
    /// Answers Pushpin.
    Origin,
}

/// A connection, and the bytes of a request that is not complete.
struct Connection {
    stream: TcpStream,
    request: Vec<u8>,
}

struct Floor {
    role: Role,
    poll: Poll,
    /// The connections by token. None if the connection has ended. Tokens are not used again.
    connections: Vec<Option<Connection>>,
    /// Tokens of the subscribers, by topic.
    topics: Vec<Vec<usize>>,
    published: u64,
}

/// Serves until the benchmark closes the standard input of this program.
pub(crate) fn run(role: Role) -> anyhow::Result<()> {
    let mut listener = TcpListener::bind(([127, 0, 0, 1], 0).into())?;
    let poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let waker = Waker::new(poll.registry(), END_OF_INPUT)?;
    thread::spawn(move || {
        let _ = stdin().read_to_end(&mut Vec::new());
        waker.wake()
    });
    writeln!(stdout(), "{LISTENING}{}", listener.local_addr()?)?;
    let (connections, topics) = (Vec::new(), Vec::new());
    let mut floor = Floor { role, poll, connections, topics, published: 0 };
    let mut events = Events::with_capacity(1024);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        if let Err(error) = floor.poll.poll(&mut events, None)
            && error.kind() != ErrorKind::Interrupted
        {
            return Err(error.into());
        }
        for event in &events {
            match event.token() {
                END_OF_INPUT => return Ok(()),
                LISTENER => floor.accept(&listener)?,
                Token(token) => {
                    if !floor.read(token, &mut buffer) {
                        floor.connections[token] = None;
                    }
                }
            }
        }
    }
}

impl Floor {
    fn accept(&mut self, listener: &TcpListener) -> anyhow::Result<()> {
        loop {
            match listener.accept() {
                Ok((mut stream, _)) => {
                    stream.set_nodelay(true)?;
                    let token = Token(self.connections.len());
                    self.poll.registry().register(&mut stream, token, Interest::READABLE)?;
                    self.connections.push(Some(Connection { stream, request: Vec::new() }));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Reads from a connection and responds. Returns whether the connection continues.
    fn read(&mut self, token: usize, buffer: &mut [u8]) -> bool {
        loop {
            let Some(connection) = &mut self.connections[token] else { return true };
            match connection.stream.read(buffer) {
                Ok(0) => return false,
                Ok(read) => connection.request.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return false,
            }
            let Some((path, body)) = parse(&connection.request) else { continue };
            connection.request = Vec::new();
            let topic = path.rsplit('/').next().and_then(|topic| topic.parse().ok()).unwrap_or(0);
            let is_open = match (self.role, body) {
                (Role::Origin, _) => self.hold(token, topic),
                (Role::Floor, None) => self.subscribe(token, topic),
                (Role::Floor, Some(data)) => {
                    self.publish(topic, &data);
                    self.write(token, ACKNOWLEDGEMENT)
                }
            };
            if !is_open {
                return false;
            }
        }
    }

    /// Tells Pushpin to hold the stream of its client. Pushpin then drops this connection.
    fn hold(&mut self, token: usize, topic: usize) -> bool {
        let response = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nGrip-Hold: stream\r\n\
             Grip-Channel: {topic}\r\nContent-Length: 0\r\n\r\n"
        );
        self.write(token, response.as_bytes())
    }

    fn subscribe(&mut self, token: usize, topic: usize) -> bool {
        if self.topics.len() <= topic {
            self.topics.resize_with(topic + 1, Vec::new);
        }
        self.topics[topic].push(token);
        self.write(token, STREAM.as_bytes())
    }

    /// Writes the same bytes as streamgate, in one chunk.
    fn publish(&mut self, topic: usize, data: &str) {
        self.published += 1;
        let (epoch, seq, nonce) = (0x5eed_cafe_f00d_u64, self.published, 0x5eed_f00d);
        let block = format!("event: bench\ndata: {data}\nid: {epoch:x}-{seq}-{nonce:x}\n\n");
        let frame = format!("{:x}\r\n{block}\r\n", block.len());
        let Some(subscribers) = self.topics.get_mut(topic) else { return };
        let connections = &mut self.connections;
        subscribers.retain(|token| {
            let Some(connection) = &mut connections[*token] else { return false };
            let written = connection.stream.write(frame.as_bytes());
            // A subscriber with a full buffer is disconnected, because a queue would cost more.
            let is_whole = written.is_ok_and(|written| written == frame.len());
            if !is_whole {
                connections[*token] = None;
            }
            is_whole
        });
    }

    fn write(&mut self, token: usize, bytes: &[u8]) -> bool {
        let Some(connection) = &mut self.connections[token] else { return false };
        connection.stream.write(bytes).is_ok_and(|written| written == bytes.len())
    }
}

/// Parses path and body of a complete request. A GET has no body.
fn parse(request: &[u8]) -> Option<(String, Option<String>)> {
    let end = memmem::find(request, b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&request[..end]);
    let mut words = head.split(' ');
    let (method, path) = (words.next()?, words.next()?.to_owned());
    if method == "GET" {
        return Some((path, None));
    }
    let field = |line: &str| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    };
    let length = head.lines().find_map(field).unwrap_or(0);
    let body = request.get(end + 4..end + 4 + length)?;
    Some((path, Some(String::from_utf8_lossy(body).into_owned())))
}
