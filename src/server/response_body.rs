//! The body of a response while it is sent.
//!
//! A body with a known length is never copied: the client gets the bytes that the endpoint has created. Bytes that
//! several responses share stay shared. HTTP/2 gets the body in slices, so that the server sees which of them the
//! client has read.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use hyper::body::{Body, Frame, SizeHint};

use super::connection_state::{ConnectionState, RequestGuard, StreamGuard};
use super::write_budget::{Client, Reservation, WriteBudget};
use super::write_progress::WriteProgress;

/// Maximum number of bytes that HTTP/2 gets at a time. The write budget does not count bodies up to this size.
const SLICE: usize = 16 * 1024;

/// The body of a response, see the module's documentation.
pub(super) struct ResponseBody {
    body: BoxBody<Bytes, io::Error>,
    kind: Kind,
    /// Dropped last, because the response is completely sent only after its body is dropped.
    _request: RequestGuard,
}

enum Kind {
    /// A stream. The hub checks its progress.
    Stream { _stream: StreamGuard },
    /// A body with a known length.
    Sized {
        /// The unsent part of the last frame.
        rest: Bytes,
        slice: usize,
        budget: Arc<WriteBudget>,
        client: Client,
        progress: Arc<WriteProgress>,
    },
}

impl ResponseBody {
    /// Wraps a body. A body without a known length is a stream.
    pub(super) fn new(
        body: BoxBody<Bytes, io::Error>,
        connection: &Arc<ConnectionState>,
        request: RequestGuard,
        budget: &Arc<WriteBudget>,
        client: Client,
    ) -> Self {
        let kind = if body.size_hint().exact().is_none() {
            Kind::Stream { _stream: connection.begin_stream() }
        } else {
            let http2 = WriteProgress::of_current_task();
            Kind::Sized {
                rest: Bytes::new(),
                slice: if http2.is_some() { SLICE } else { usize::MAX },
                budget: Arc::clone(budget),
                client,
                progress: http2.unwrap_or_else(|| Arc::clone(&connection.progress)),
            }
        };
        Self { body, kind, _request: request }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let Self { body, kind, .. } = self.get_mut();
        let body = Pin::new(body);
        let Kind::Sized { rest, slice, budget, client, progress } = kind else {
            return body.poll_frame(cx);
        };
        if rest.is_empty() {
            let frame = match ready!(body.poll_frame(cx)) {
                Some(Ok(frame)) => frame,
                end => return Poll::Ready(end),
            };
            *rest = match frame.into_data() {
                Ok(bytes) => track(bytes, budget, *client, progress, *slice == SLICE),
                Err(other) => return Poll::Ready(Some(Ok(other))),
            };
        }
        progress.record();
        let next = rest.split_to(rest.len().min(*slice));
        Poll::Ready(Some(Ok(Frame::data(next))))
    }

    fn is_end_stream(&self) -> bool {
        let is_sent = match &self.kind {
            Kind::Stream { .. } => true,
            Kind::Sized { rest, .. } => rest.is_empty(),
        };
        is_sent && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let hint = self.body.size_hint();
        match (&self.kind, hint.exact()) {
            (Kind::Sized { rest, .. }, Some(left)) => {
                SizeHint::with_exact(left + rest.len() as u64)
            }
            _ => hint,
        }
    }
}

/// Returns the same bytes. They hold their reservation in the budget and, on HTTP/2, record when they are sent.
fn track(
    bytes: Bytes,
    budget: &Arc<WriteBudget>,
    client: Client,
    progress: &Arc<WriteProgress>,
    is_http2: bool,
) -> Bytes {
    // Shared bytes use no extra memory for an additional client.
    let is_counted = bytes.len() > SLICE && bytes.is_unique();
    if !is_counted && !is_http2 {
        return bytes;
    }
    progress.record();
    let reservation = is_counted.then(|| budget.reserve(client, bytes.len(), progress));
    let progress = is_http2.then(|| Arc::clone(progress));
    Bytes::from_owner(TrackedBytes { bytes, progress, _reservation: reservation })
}

struct TrackedBytes {
    bytes: Bytes,
    progress: Option<Arc<WriteProgress>>,
    _reservation: Option<Reservation>,
}

impl AsRef<[u8]> for TrackedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for TrackedBytes {
    fn drop(&mut self) {
        if let Some(progress) = &self.progress {
            progress.finish();
        }
    }
}
