//! The socket or the response body of a stream, and the bytes that its client sends.

use std::{
    io::{self, ErrorKind, Read},
    net::Shutdown,
    task::Waker,
    time::{Duration, Instant},
};

use mio::{Interest, Registry, Token, net::TcpStream};

/// Time that a client has to close its side after the last byte.
const LINGER: Duration = Duration::from_secs(1);

/// Maximum number of reads of 4 KiB at a time. A client that sends more is disconnected.
const READS: usize = 16;

/// The socket or the response body of a stream.
pub enum Sink {
    /// A socket, to which frames are written unchanged.
    Socket(TcpStream),
    /// A response body, which another layer frames. The waker is that of the task that waits for the next bytes. `None`
    /// while no task waits.
    Body(Option<Waker>),
    /// A socket after the last byte. It stays open until the client closes its side, at most until this time.
    Ending(TcpStream, Instant),
}

impl Sink {
    /// Wakes the task that reads a body.
    pub fn wake(&mut self) {
        if let Self::Body(reader) = self
            && let Some(reader) = reader.take()
        {
            reader.wake();
        }
    }

    /// Closes the sending side of a socket. Returns the time by which the client has to close its side. `None` for a
    /// body.
    pub fn finish(&mut self) -> Option<Instant> {
        match std::mem::replace(self, Self::Body(None)) {
            Self::Socket(socket) => {
                // An error means that the client has already disconnected. The reactor gets an event for that.
                let _ = socket.shutdown(Shutdown::Write);
                let until = Instant::now() + LINGER;
                *self = Self::Ending(socket, until);
                Some(until)
            }
            _ => None,
        }
    }

    /// Registers a socket, so that the reactor gets an event when the client sends something or disconnects.
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        match self.socket() {
            Some(socket) => registry.register(socket, token, Interest::READABLE),
            None => Ok(()),
        }
    }

    /// Ends the registration of a socket. The reactor gets no further events of the socket.
    pub fn deregister(&mut self, registry: &Registry) {
        if let Some(socket) = self.socket() {
            // An error means that the socket was never registered.
            let _ = registry.deregister(socket);
        }
    }

    /// Reads and drops the bytes of a client, which should send none. Returns false if the client has disconnected or
    /// sends too much.
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
