//! The body of a response on its way to the client.
//!
//! One with an end is never copied: the client is sent the bytes that the endpoint has made, and those
//! that are shared stay shared. On HTTP/2 it goes out in slices, so that it shows which ones are taken.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use hyper::body::{Body, Frame, SizeHint};

use super::activity::{Activity, Answering, Streaming};
use super::budget::{Budget, Charge, Holder};
use super::pace::{Pace, of_this_task};

/// Bytes that are given to HTTP/2 at a time. Answers up to this are not worth counting.
const SLICE: usize = 16 * 1024;

/// See above.
pub(super) struct Answer {
    body: BoxBody<Bytes, io::Error>,
    way: Way,
    /// Dropped last: the answer is not out before.
    _answering: Answering,
}

enum Way {
    /// Without an end, under rules of its own.
    Stream {
        _streaming: Streaming,
    },
    Whole {
        rest: Bytes,
        slice: usize,
        budget: Arc<Budget>,
        holder: Holder,
        pace: Arc<Pace>,
    },
}

impl Answer {
    /// What has no length has no end.
    pub(super) fn new(
        body: BoxBody<Bytes, io::Error>,
        activity: &Arc<Activity>,
        answering: Answering,
        budget: &Arc<Budget>,
        holder: Holder,
    ) -> Self {
        let way = if body.size_hint().exact().is_none() {
            Way::Stream { _streaming: activity.begin_stream() }
        } else {
            let of_task = of_this_task();
            Way::Whole {
                rest: Bytes::new(),
                slice: if of_task.is_some() { SLICE } else { usize::MAX },
                budget: Arc::clone(budget),
                holder,
                pace: of_task.unwrap_or_else(|| Arc::clone(&activity.pace)),
            }
        };
        Self { body, way, _answering: answering }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let Self { body, way, .. } = self.get_mut();
        let body = Pin::new(body);
        let Way::Whole { rest, slice, budget, holder, pace } = way else {
            return body.poll_frame(cx);
        };
        if rest.is_empty() {
            let frame = match ready!(body.poll_frame(cx)) {
                Some(Ok(frame)) => frame,
                end => return Poll::Ready(end),
            };
            *rest = match frame.into_data() {
                Ok(bytes) => held(bytes, budget, *holder, pace, *slice == SLICE),
                Err(other) => return Poll::Ready(Some(Ok(other))),
            };
        }
        pace.progress();
        let next = rest.split_to(rest.len().min(*slice));
        Poll::Ready(Some(Ok(Frame::data(next))))
    }

    fn is_end_stream(&self) -> bool {
        let is_out = match &self.way {
            Way::Stream { .. } => true,
            Way::Whole { rest, .. } => rest.is_empty(),
        };
        is_out && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let hint = self.body.size_hint();
        match (&self.way, hint.exact()) {
            (Way::Whole { rest, .. }, Some(left)) => SizeHint::with_exact(left + rest.len() as u64),
            _ => hint,
        }
    }
}

/// The same bytes, which tell when they are out.
fn held(
    bytes: Bytes,
    budget: &Arc<Budget>,
    holder: Holder,
    pace: &Arc<Pace>,
    tells: bool,
) -> Bytes {
    // What is shared costs nothing more for another client.
    let counts = bytes.len() > SLICE && bytes.is_unique();
    if !counts && !tells {
        return bytes;
    }
    pace.progress();
    let charge = counts.then(|| budget.charge(holder, bytes.len(), pace));
    Bytes::from_owner(Held { bytes, pace: tells.then(|| Arc::clone(pace)), _charge: charge })
}

struct Held {
    bytes: Bytes,
    pace: Option<Arc<Pace>>,
    _charge: Option<Charge>,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(pace) = &self.pace {
            pace.finish();
        }
    }
}
