//! A stream as the body of a response.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::Stream;

use super::{
    sink::Sink,
    subscriber::{Mode, Subscriber},
};
use crate::hub::{
    subscription::{End, Next},
    topic::payload,
};

/// A stream as the body of a response. Dropping the body closes the stream.
pub struct Body(Arc<Subscriber>);

impl Body {
    /// Creates the body of a subscriber whose sink is `Sink::Body`.
    pub fn new(subscriber: Arc<Subscriber>) -> Self {
        Self(subscriber)
    }

    /// The reason for the end of the stream, and whether the client took everything before the end. `None` if the
    /// stream was closed without a reason.
    pub fn end(&self) -> Option<(End, bool)> {
        self.0.state().subscription.end()
    }

    /// Ends the stream for this reason, and does not tell the client.
    pub fn close_silently(self, end: End) {
        self.0.state().subscription.end_with(end);
    }
}

impl Stream for Body {
    type Item = Bytes;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let subscriber = &self.0;
        let mut state = subscriber.state();
        loop {
            if state.mode == Mode::Closed {
                return Poll::Ready(None);
            }
            match state.subscription.next() {
                Next::Write(piece) => {
                    let text = payload(piece.bytes());
                    let size = piece.bytes().len();
                    state.subscription.wrote(piece, size, subscriber.reactor().tick());
                    if !text.is_empty() {
                        return Poll::Ready(Some(text));
                    }
                }
                Next::Done => {
                    subscriber.finish(&mut state);
                    return Poll::Ready(None);
                }
                wait => {
                    if matches!(wait, Next::CatchUp) {
                        subscriber.catch_up(&mut state.subscription);
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
        self.0.close();
    }
}
