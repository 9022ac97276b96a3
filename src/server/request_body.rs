//! The body of a request, and the part of it that the endpoint has not read.
//!
//! A client can get its response before it has sent the whole body. The client continues to send the body, and then
//! sends its next request on the same connection. So the server discards the rest of the body, or tells the client in
//! the response that the connection closes.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use http_body_util::combinators::BoxBody;
use hyper::body::{Body, Frame, SizeHint};
use parking_lot::Mutex;
use tokio::time::timeout;

type Inner = BoxBody<Bytes, io::Error>;

/// Maximum size of the rest of a body that is discarded, in bytes, and maximum time for that. Beyond these, a new
/// connection costs the client less than the wait.
const DISCARD_LIMIT: u64 = 64 * 1024;
const DISCARD_TIMEOUT: Duration = Duration::from_secs(5);

/// The body that the endpoint reads. A dropped body stores its unread part in `rest`.
struct RequestBody {
    body: Option<Inner>,
    rest: Arc<Mutex<Option<Inner>>>,
}

/// Access to the part of a body that the endpoint has not read.
pub(super) struct UnreadBody(Arc<Mutex<Option<Inner>>>);

/// Wraps a body for the endpoint. Also returns access to the part that the endpoint leaves unread.
pub(super) fn track(body: Inner) -> (Inner, UnreadBody) {
    let rest = Arc::<Mutex<Option<Inner>>>::default();
    (BoxBody::new(RequestBody { body: Some(body), rest: Arc::clone(&rest) }), UnreadBody(rest))
}

impl UnreadBody {
    /// The rest of the body, after the endpoint has dropped the body. `None` if all of it was read.
    pub(super) fn into_rest(self) -> Option<Inner> {
        self.0.lock().take()
    }
}

/// Whether the rest of a body is known to be small enough to be discarded.
pub(super) fn is_discardable(rest: &Inner) -> bool {
    rest.size_hint().exact().is_some_and(|left| left <= DISCARD_LIMIT)
}

/// Reads the rest of a body and drops it.
pub(super) async fn discard(mut rest: Inner) {
    // An error ends the connection, and hyper also detects it.
    let read = async { while let Some(Ok(_)) = rest.frame().await {} };
    let _ = timeout(DISCARD_TIMEOUT, read).await;
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let slot = &mut self.get_mut().body;
        let Some(body) = slot else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(body).poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) {
            *slot = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if let Some(body) = self.body.take().filter(|body| !body.is_end_stream()) {
            *self.rest.lock() = Some(body);
        }
    }
}
