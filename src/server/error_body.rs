//! Adds a problem document to the error responses that hyper itself creates.
//!
//! hyper rejects bytes that are not HTTP, and a request head that is too large, before the endpoint sees a request. Its
//! response has a status and an empty body, and hyper has no hook to change that. So this module replaces the bytes
//! that hyper writes. A response of the endpoint always has a request id, and a response of hyper never has one.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use poem::http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Returns the request id and the body of an error response with this status.
pub type ErrorBody = fn(StatusCode) -> (String, String);

/// Passes all bytes through, except hyper's own error responses on HTTP/1.1.
pub(super) struct WithErrorBody<I> {
    io: I,
    error_body: ErrorBody,
    /// The bytes to send instead of those that hyper is writing.
    replacement: Option<Bytes>,
}

impl<I> WithErrorBody<I> {
    pub(super) fn new(io: I, error_body: ErrorBody) -> Self {
        Self { io, error_body, replacement: None }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for WithErrorBody<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for WithErrorBody<I> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.replacement.is_none() {
            this.replacement = with_body(bytes, this.error_body);
        }
        let Some(replacement) = &mut this.replacement else {
            return Pin::new(&mut this.io).poll_write(cx, bytes);
        };
        while replacement.has_remaining() {
            let written = ready!(Pin::new(&mut this.io).poll_write(cx, replacement))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            replacement.advance(written);
        }
        this.replacement = None;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // An error response of hyper is a head without a body, so it is in one part.
        match parts {
            [head] => self.poll_write(cx, head),
            _ => Pin::new(&mut self.io).poll_write_vectored(cx, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// The error response with a body. `None` if these bytes are not one of hyper's error responses without a body.
fn with_body(bytes: &[u8], error_body: ErrorBody) -> Option<Bytes> {
    // Nearly all writes return here, after a look at their first bytes.
    let head = bytes.strip_prefix(b"HTTP/1.1 4")?;
    let head = std::str::from_utf8(head).ok()?.strip_suffix("\r\n\r\n")?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?;
    let code = StatusCode::from_bytes(format!("4{}", status.get(..2)?).as_bytes()).ok()?;
    let named = |line: &str, name: &str| {
        line.split_once(':').is_some_and(|(key, _)| key.eq_ignore_ascii_case(name))
    };
    let fields: Vec<&str> = lines.collect();
    if fields.iter().any(|line| named(line, "x-request-id"))
        || !fields.iter().any(|line| line.eq_ignore_ascii_case("content-length: 0"))
    {
        return None;
    }
    let (id, body) = error_body(code);
    let kept: Vec<&str> =
        fields.into_iter().filter(|line| !named(line, "content-length")).collect();
    let kept = kept.join("\r\n");
    let response = format!(
        "HTTP/1.1 4{status}\r\n{kept}\r\ncontent-type: application/problem+json\r\n\
         x-request-id: {id}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    Some(response.into())
}
