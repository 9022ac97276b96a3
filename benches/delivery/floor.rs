//! The floor: one epoll thread that writes the same bytes to every subscriber, one `write()` each,
//! and does nothing else: no HTTP library, no login, no queue, no heartbeat.
//!
//! As the origin the same loop stands behind Pushpin and tells it to hold the streams.

use std::{
    io::{ErrorKind, Read, Write, stdin, stdout},
    thread,
};

use memchr::memmem;
use mio::{
    Events, Interest, Poll, Token, Waker,
    net::{TcpListener, TcpStream},
};

use crate::server::LISTENING;

const LISTENER: Token = Token(usize::MAX);
const GONE: Token = Token(usize::MAX - 1);

const STREAM: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
const PUBLISHED: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// What the loop is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Floor,
    Origin,
}

/// A connection, and what has come of a request that is not whole yet.
struct Connection {
    stream: TcpStream,
    request: Vec<u8>,
}

struct Floor {
    role: Role,
    poll: Poll,
    /// By token; none where one has ended. Numbers are not used again.
    connections: Vec<Option<Connection>>,
    /// The subscribers of each topic.
    topics: Vec<Vec<usize>>,
    published: u64,
}

/// Serves until nobody holds the other end of its input.
pub(crate) fn run(role: Role) -> anyhow::Result<()> {
    let mut listener = TcpListener::bind(([127, 0, 0, 1], 0).into())?;
    let poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let waker = Waker::new(poll.registry(), GONE)?;
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
                GONE => return Ok(()),
                LISTENER => floor.accept(&listener)?,
                Token(which) => {
                    if !floor.read(which, &mut buffer) {
                        floor.connections[which] = None;
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

    /// Answers what a connection asks; whether it goes on.
    fn read(&mut self, which: usize, buffer: &mut [u8]) -> bool {
        loop {
            let Some(connection) = &mut self.connections[which] else { return true };
            match connection.stream.read(buffer) {
                Ok(0) => return false,
                Ok(read) => connection.request.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return false,
            }
            let Some((path, body)) = whole(&connection.request) else { continue };
            connection.request = Vec::new();
            let topic = path.rsplit('/').next().and_then(|topic| topic.parse().ok()).unwrap_or(0);
            let answered = match (self.role, body) {
                (Role::Origin, _) => self.hold(which, topic),
                (Role::Floor, None) => self.subscribe(which, topic),
                (Role::Floor, Some(data)) => {
                    self.publish(topic, &data);
                    self.write(which, PUBLISHED)
                }
            };
            if !answered {
                return false;
            }
        }
    }

    /// Pushpin keeps the client and forgets this connection.
    fn hold(&mut self, which: usize, topic: usize) -> bool {
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nGrip-Hold: stream\r\n\
             Grip-Channel: {topic}\r\nContent-Length: 0\r\n\r\n"
        );
        self.write(which, answer.as_bytes())
    }

    fn subscribe(&mut self, which: usize, topic: usize) -> bool {
        if self.topics.len() <= topic {
            self.topics.resize_with(topic + 1, Vec::new);
        }
        self.topics[topic].push(which);
        self.write(which, STREAM.as_bytes())
    }

    /// The bytes that streamgate writes, in the chunk that they go out in.
    fn publish(&mut self, topic: usize, data: &str) {
        self.published += 1;
        let (epoch, seq, nonce) = (0x5eed_cafe_f00d_u64, self.published, 0x5eed_f00d);
        let block = format!("id: {epoch:x}-{seq}-{nonce:x}\nevent: bench\ndata: {data}\n\n");
        let frame = format!("{:x}\r\n{block}\r\n", block.len());
        let Some(subscribers) = self.topics.get_mut(topic) else { return };
        let connections = &mut self.connections;
        subscribers.retain(|which| {
            let Some(connection) = &mut connections[*which] else { return false };
            let written = connection.stream.write(frame.as_bytes());
            // Whose buffer is full is let go: a queue would be more than the least.
            let is_whole = written.is_ok_and(|written| written == frame.len());
            if !is_whole {
                connections[*which] = None;
            }
            is_whole
        });
    }

    fn write(&mut self, which: usize, bytes: &[u8]) -> bool {
        let Some(connection) = &mut self.connections[which] else { return false };
        connection.stream.write(bytes).is_ok_and(|written| written == bytes.len())
    }
}

/// Path and body of a request that is whole; a GET has no body.
fn whole(request: &[u8]) -> Option<(String, Option<String>)> {
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
