//! A subscription before its socket is known.

use std::{
    net::TcpStream,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use futures_util::Stream;

use super::{body::Body, reactor::Reactors, sink::Sink, subscribers::Subscribers};
use crate::hub::subscription::Subscription;

/// An open stream that has no socket and no response body yet. Dropping this value closes the stream.
pub struct PendingSubscription {
    subscription: Subscription,
    subscribers: Arc<Subscribers>,
    reactors: Arc<Reactors>,
}

impl PendingSubscription {
    pub(in crate::hub) fn new(
        subscription: Subscription,
        subscribers: Arc<Subscribers>,
        reactors: &Arc<Reactors>,
    ) -> Self {
        Self { subscription, subscribers, reactors: Arc::clone(reactors) }
    }

    /// Adds bytes that are sent before everything else.
    pub(in crate::hub) fn prepend(&mut self, head: &[u8]) {
        self.subscription.prepend(head);
    }

    /// Sends the stream over a socket, which no other code may use from now on. The client gets `head`, then a body in
    /// chunks (RFC 9112, section 7.1). Then the connection closes.
    pub fn send_over(mut self, socket: TcpStream, head: &[u8]) {
        self.prepend(head);
        let Self { subscription, subscribers, reactors } = self;
        let sink = Sink::Socket(mio::net::TcpStream::from_std(socket));
        let subscriber = reactors.attach(sink, subscription, &subscribers);
        match subscriber.register() {
            Ok(()) => subscribers.start(&subscriber),
            Err(error) => {
                tracing::warn!(
                    %error,
                    "cannot register the socket of a stream, closing the stream"
                );
                subscriber.close();
            }
        }
    }

    /// Turns the stream into the body of a response, which another layer frames.
    pub fn into_body(self) -> impl Stream<Item = Bytes> + Send + Sync + 'static {
        self.attach()
    }

    pub(in crate::hub) fn attach(self) -> Body {
        let Self { subscription, subscribers, reactors } = self;
        let subscriber = reactors.attach(Sink::Body(None), subscription, &subscribers);
        subscribers.start(&subscriber);
        Body::new(subscriber)
    }
}

/// Carries a pending subscription to the server, in the extensions of a response. The server chooses between a socket
/// and a response body.
#[derive(Clone)]
pub struct Handover(Arc<Mutex<Option<PendingSubscription>>>);

impl Handover {
    /// Wraps a subscription.
    #[must_use]
    pub fn new(subscription: PendingSubscription) -> Self {
        Self(Arc::new(Mutex::new(Some(subscription))))
    }

    /// Takes the subscription. `None` after the first call.
    #[must_use]
    pub fn take(&self) -> Option<PendingSubscription> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
