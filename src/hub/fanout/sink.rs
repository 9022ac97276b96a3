//! The socket or the response body of a stream, and what its client sends.

use std::{
    io::{self, ErrorKind, Read},
    net::Shutdown,
    task::Waker,
    time::{Duration, Instant},
};

use mio::{Interest, Registry, Token, net::TcpStream};

/// Time that a client has to close its side after the end.
const LINGER: Duration = Duration::from_secs(1);

/// Reads of 4 KiB after which a client that keeps sending is disconnected.
const READS: usize = 16;

/// The socket or the response body of a stream.
pub enum Sink {
    /// A socket, which gets frames as they are.
    Socket(TcpStream),
    /// A response body, which another layer frames. The waker is that of its reader.
    Body(Option<Waker>),
    /// A socket after the last byte, until the client closes it too or this time has passed.
    Ending(TcpStream, Instant),
}

impl Sink {
    /// Wakes the reader of a body.
    pub fn wake(&mut self) {
        if let Self::Body(reader) = self
            && let Some(reader) = reader.take()
        {
            reader.wake();
        }
    }

    /// Shows the client of a socket the end, and returns the time by which it has to close its
    /// side.
    pub fn finish(&mut self) -> Option<Instant> {
        match std::mem::replace(self, Self::Body(None)) {
            Self::Socket(socket) => {
                // An error means that the client has left already. The reactor is told of that.
                let _ = socket.shutdown(Shutdown::Write);
                let until = Instant::now() + LINGER;
                *self = Self::Ending(socket, until);
                Some(until)
            }
            _ => None,
        }
    }

    /// Has the reactor told when the client sends something or leaves.
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        match self.socket() {
            Some(socket) => registry.register(socket, token, Interest::READABLE),
            None => Ok(()),
        }
    }

    /// The reactor is told nothing more of the socket.
    pub fn deregister(&mut self, registry: &Registry) {
        if let Some(socket) = self.socket() {
            // It may never have been registered.
            let _ = registry.deregister(socket);
        }
    }

    /// Reads and drops a little of what the client sends, which should send nothing. Whether the
    /// client is still there and may stay.
    pub fn drain(&mut self) -> bool {
        let mut scratch = [0; 4096];
        let Some(socket) = self.socket() else { return true };
        for _ in 0..READS {
            match socket.read(&mut scratch) {
                Ok(0) => return false,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            }
        }
        false
    }

    fn socket(&mut self) -> Option<&mut TcpStream> {
        match self {
            Self::Socket(socket) | Self::Ending(socket, _) => Some(socket),
            Self::Body(_) => None,
        }
    }
}
