//! The socket under a connection: found out, spoken through, closed.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf, copy, sink};
use tokio::net::TcpStream;

use super::activity::Activity;

/// Whether the client starts with the preface of HTTP/2 (RFC 9113 section 3.4).
pub(super) async fn preface(socket: &mut Socket) -> io::Result<bool> {
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

/// Closing a socket with unread bytes sends RST, which may destroy the last answer before the
/// client has read it (RFC 9112 section 9.6), so 431, 413 or 401 to a client that still sends.
pub(super) async fn linger(mut tcp: TcpStream) -> io::Result<()> {
    // With nothing unread this is an error or the end of the stream, and there is nothing to do.
    if tcp.try_read(&mut [0])? > 0 {
        tcp.shutdown().await?;
        copy(&mut tcp, &mut sink()).await?;
    }
    Ok(())
}

/// What hyper reads and writes. The loop above keeps a handle of its own to the socket.
pub(super) struct Socket {
    tcp: Arc<TcpStream>,
    activity: Arc<Activity>,
    /// What was read to find out the protocol.
    ahead: Bytes,
}

impl Socket {
    pub(super) fn new(tcp: &Arc<TcpStream>, activity: &Arc<Activity>) -> Self {
        Self { tcp: Arc::clone(tcp), activity: Arc::clone(activity), ahead: Bytes::new() }
    }

    fn poll_send(
        &self,
        cx: &mut Context<'_>,
        send: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            let Poll::Ready(ready) = self.tcp.poll_write_ready(cx) else {
                self.activity.blocked();
                return Poll::Pending;
            };
            ready?;
            match send(&self.tcp) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                result => {
                    self.activity.went_out();
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
                        self.activity.came_in();
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

    /// So that hyper hands over the bytes of a body as they are, instead of copying all of them
    /// together behind the head.
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

    /// The FIN goes out when the last handle is dropped, see `attend`.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
