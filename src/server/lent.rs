//! The body of a request, lent to the endpoint: what of it was not read comes back.
//!
//! A client that is answered before it has sent its body goes on to send it, and asks again on the
//! same connection. So what is left is either read away, or the answer says that the connection ends.

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

/// Bytes that are read away after an early answer, and how long that may take: then a client has to
/// connect again, which is cheaper than to wait for more.
const MOST: u64 = 64 * 1024;
const TIME: Duration = Duration::from_secs(5);

/// What the endpoint reads.
struct Borrowed {
    body: Option<Inner>,
    home: Arc<Mutex<Option<Inner>>>,
}

/// Where it comes back to.
pub(super) struct Lent(Arc<Mutex<Option<Inner>>>);

/// Lends a body.
pub(super) fn lend(body: Inner) -> (Inner, Lent) {
    let home = Arc::<Mutex<Option<Inner>>>::default();
    (BoxBody::new(Borrowed { body: Some(body), home: Arc::clone(&home) }), Lent(home))
}

impl Lent {
    /// What is left, once the endpoint is through with it.
    pub(super) fn rest(self) -> Option<Inner> {
        self.0.lock().take()
    }
}

/// Whether it is known to be small enough to be read away.
pub(super) fn is_small(rest: &Inner) -> bool {
    rest.size_hint().exact().is_some_and(|left| left <= MOST)
}

/// Reads it away.
pub(super) async fn read_away(mut rest: Inner) {
    // Whatever goes wrong ends the connection, of which hyper hears by itself.
    let _ = timeout(TIME, async { while let Some(Ok(_)) = rest.frame().await {} }).await;
}

impl Body for Borrowed {
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

impl Drop for Borrowed {
    fn drop(&mut self) {
        if let Some(body) = self.body.take().filter(|body| !body.is_end_stream()) {
            *self.home.lock() = Some(body);
        }
    }
}
