//! A subscription before its socket is known.

use std::{
    net::TcpStream,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use futures_util::Stream;

use super::{body::Body, reactor::Reactors, sink::Sink, subscribers::Subscribers};
use crate::hub::subscription::Subscription;

/// An open stream that has yet to be given a socket or a response body. Dropping it closes it.
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

    /// Puts bytes before everything else.
    pub(in crate::hub) fn lead(&mut self, head: &[u8]) {
        self.subscription.lead(head);
    }

    /// Sends it over a socket that no other code uses from now on. It gets `head`, then a body in
    /// chunks (RFC 9112, section 7.1), then the end of the connection.
    pub fn onto_socket(mut self, socket: TcpStream, head: &[u8]) {
        self.lead(head);
        let Self { subscription, subscribers, reactors } = self;
        let sink = Sink::Socket(mio::net::TcpStream::from_std(socket));
        let subscriber = reactors.attach(sink, subscription, &subscribers);
        match subscriber.register() {
            Ok(()) => subscribers.start(&subscriber),
            Err(error) => {
                tracing::warn!(%error, "cannot register a socket with its reactor");
                subscriber.close();
            }
        }
    }

    /// Sends it as the body of a response that another layer frames.
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

/// Carries a pending subscription to the server, in the extensions of a response. The server
/// chooses between a socket and a response body.
#[derive(Clone)]
pub struct Handover(Arc<Mutex<Option<PendingSubscription>>>);

impl Handover {
    /// A carrier of this subscription.
    #[must_use]
    pub fn new(subscription: PendingSubscription) -> Self {
        Self(Arc::new(Mutex::new(Some(subscription))))
    }

    /// Takes the subscription, once.
    #[must_use]
    pub fn take(&self) -> Option<PendingSubscription> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
