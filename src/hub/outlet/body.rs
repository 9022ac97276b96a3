//! A stream as the body of a response.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::Stream;

use super::{Hands, Outlet, Sink};
use crate::hub::{course::Next, end::End, frame::payload};

/// See above. Dropping it ends the stream.
pub(in crate::hub) struct Body(pub(in crate::hub) Arc<Outlet>);

impl Body {
    /// Once it has come to its end: why, if it was not cut off, and whether everything before that
    /// was taken.
    pub(in crate::hub) fn end(&self) -> Option<(End, bool)> {
        self.0.state().course.end()
    }

    /// Ends it for a reason that nobody need be told.
    pub(in crate::hub) fn cut(self, end: End) {
        self.0.state().course.close(end);
    }
}

impl Stream for Body {
    type Item = Bytes;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let outlet = &self.0;
        let mut state = outlet.state();
        loop {
            if state.hands == Hands::Retired {
                return Poll::Ready(None);
            }
            match state.course.next() {
                Next::Write(piece) => {
                    let text = payload(piece.bytes());
                    let size = piece.bytes().len();
                    state.course.wrote(piece, size, outlet.reactor.tick());
                    if !text.is_empty() {
                        return Poll::Ready(Some(text));
                    }
                }
                Next::Done => {
                    outlet.finish(&mut state);
                    return Poll::Ready(None);
                }
                wait => {
                    if matches!(wait, Next::Fetch) {
                        state.course.fetch(outlet);
                    }
                    state.sink = Sink::Body(Some(cx.waker().clone()));
                    return Poll::Pending;
                }
            }
        }
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        self.0.leave();
    }
}
