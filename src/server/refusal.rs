//! hyper's own refusals, given the body that every other refusal has.
//!
//! What is not HTTP at all, or has too large a head, hyper answers by itself before there is a
//! request that the endpoint could see: a status and an empty body, with no way to hook in. So the
//! one place left is where hyper writes. Its refusal is told from the endpoint's answers by the
//! request id, which those always have.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use poem::http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Makes the body for a status, and the id that it names.
pub type Refusal = fn(StatusCode) -> (String, String);

/// Hands everything through but hyper's refusals on HTTP/1.1.
pub(super) struct Refusing<I> {
    io: I,
    refusal: Refusal,
    /// What goes out instead of what hyper is writing.
    instead: Option<Bytes>,
}

impl<I> Refusing<I> {
    pub(super) fn new(io: I, refusal: Refusal) -> Self {
        Self { io, refusal, instead: None }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Refusing<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Refusing<I> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.instead.is_none() {
            this.instead = with_body(bytes, this.refusal);
        }
        let Some(instead) = &mut this.instead else {
            return Pin::new(&mut this.io).poll_write(cx, bytes);
        };
        while instead.has_remaining() {
            let written = ready!(Pin::new(&mut this.io).poll_write(cx, instead))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            instead.advance(written);
        }
        this.instead = None;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // A refusal is a head and nothing else.
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

/// The refusal with a body, if these bytes are one without.
fn with_body(bytes: &[u8], refusal: Refusal) -> Option<Bytes> {
    // Looks at the first bytes only, for nearly all that is ever written.
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
    let (id, body) = refusal(code);
    let kept: Vec<&str> =
        fields.into_iter().filter(|line| !named(line, "content-length")).collect();
    let kept = kept.join("\r\n");
    let answer = format!(
        "HTTP/1.1 4{status}\r\n{kept}\r\ncontent-type: application/problem+json\r\n\
         x-request-id: {id}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    Some(answer.into())
}
