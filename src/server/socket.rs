//! The socket of a connection: protocol detection, reads and writes, and the lingering close.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf, copy, sink};
use tokio::net::TcpStream;

use super::connection_state::ConnectionState;

/// Reads the first bytes, and returns whether they are the preface of HTTP/2 (RFC 9113 section 3.4).
pub(super) async fn read_preface(socket: &mut Socket) -> io::Result<bool> {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let mut ahead = BytesMut::with_capacity(1024);
    while ahead.len() < PREFACE.len() && PREFACE.starts_with(&ahead) {
        if socket.read_buf(&mut ahead).await? == 0 {
            break;
        }
    }
    let h2 = ahead.starts_with(PREFACE);
    socket.ahead = ahead.freeze();
    Ok(h2)
}

/// Closes a socket after its client has stopped sending (a lingering close).
///
/// The kernel sends RST when a socket with unread bytes is closed. RST can destroy the last response before the client
/// has read it (RFC 9112 section 9.6). Examples are a 431, 413 or 401 to a client that is still sending.
pub(super) async fn close_lingering(mut tcp: TcpStream) -> io::Result<()> {
    // An error or 0 means that no bytes are unread. Then an ordinary close is enough.
    if tcp.try_read(&mut [0])? > 0 {
        tcp.shutdown().await?;
        copy(&mut tcp, &mut sink()).await?;
    }
    Ok(())
}

/// The socket as hyper reads and writes it. `connection.rs` keeps another handle to it.
pub(super) struct Socket {
    tcp: Arc<TcpStream>,
    state: Arc<ConnectionState>,
    /// Bytes that were read to detect the protocol, and that hyper has not read yet.
    ahead: Bytes,
}

impl Socket {
    pub(super) fn new(tcp: &Arc<TcpStream>, state: &Arc<ConnectionState>) -> Self {
        Self { tcp: Arc::clone(tcp), state: Arc::clone(state), ahead: Bytes::new() }
    }

    fn poll_send(
        &self,
        cx: &mut Context<'_>,
        send: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            let Poll::Ready(ready) = self.tcp.poll_write_ready(cx) else {
                self.state.record_blocked_write();
                return Poll::Pending;
            };
            ready?;
            match send(&self.tcp) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                result => {
                    self.state.record_write();
                    return Poll::Ready(result);
                }
            }
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.ahead.is_empty() {
            let length = self.ahead.len().min(buf.remaining());
            buf.put_slice(&self.ahead.split_to(length));
            return Poll::Ready(Ok(()));
        }
        loop {
            ready!(self.tcp.poll_read_ready(cx))?;
            match self.tcp.try_read_buf(buf) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                read => {
                    if matches!(read, Ok(1..)) {
                        self.state.record_read();
                    }
                    return Poll::Ready(read.map(drop));
                }
            }
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_send(cx, |tcp| tcp.try_write(bytes))
    }

    /// With vectored writes, hyper passes the bytes of a body unchanged. Without them, hyper copies all bytes into one
    /// buffer after the head.
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_send(cx, |tcp| tcp.try_write_vectored(parts))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Does nothing: the kernel sends FIN when the last handle is dropped, see `connection.rs`.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
