//! One request and its answer.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::StreamExt;
use hyper::body::{Body as _, Incoming};
use parking_lot::Mutex;
use poem::http::uri::Scheme;
use poem::http::{HeaderValue, StatusCode, Version, header};
use poem::web::{LocalAddr, RemoteAddr};
use poem::{Body, Endpoint, Request};
use tokio_util::sync::CancellationToken;

use super::Server;
use super::activity::{Activity, Answering};
use super::answer::Answer;
use super::budget::Holder;
use super::head::head;
use super::lent::{Lent, is_small, lend, read_away};
use crate::hub::{Handover, PendingSubscription};
use crate::limit::{Admission, Origin, customer};

/// What the requests on a connection share. The socket is not in it, because tasks that hold it may
/// outlive the connection for a moment.
pub(super) struct Exchange {
    pub(super) server: Arc<Server>,
    pub(super) activity: Arc<Activity>,
    pub(super) admission: Arc<Admission>,
    pub(super) half_closed: CancellationToken,
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    pub(super) scheme: Scheme,
    /// What the socket is to be given to once hyper has let go of it.
    pub(super) leaving: Mutex<Option<Leaving>>,
}

/// A stream that leaves by the socket itself, with the head of its response.
pub(super) struct Leaving {
    pub(super) head: Vec<u8>,
    pub(super) subscription: PendingSubscription,
}

/// Makes hyper end a connection without a word.
#[derive(Debug, thiserror::Error)]
pub(super) enum Left {
    #[error("the socket is given to a stream")]
    ToStream,
    #[error("a stream was asked for by a client that had left")]
    Gone,
}

impl Exchange {
    /// Asks the endpoint. A stream leaves by the socket itself if that carries nothing but this one
    /// answer: on HTTP/1.1 without TLS, where hyper reads no request before the answer to the one
    /// before is out. Else it is the body of the response.
    pub(super) async fn respond(
        self: Arc<Self>,
        request: hyper::Request<Incoming>,
        answering: Answering,
    ) -> Result<hyper::Response<Answer>, Left> {
        let version = request.version();
        let is_own = version == Version::HTTP_11 && self.scheme == Scheme::HTTP;
        // It waits to be told to send its body, or that it need not.
        let expects = request.headers().contains_key(header::EXPECT);
        let lends = version != Version::HTTP_2 && !request.body().is_end_stream();
        let (local, remote) = (LocalAddr(self.local.into()), RemoteAddr(self.remote.into()));
        let mut request = Request::from((request, local, remote, self.scheme.clone()));
        let origin = Origin::new(Arc::clone(&self.admission), self.half_closed.clone());
        let origin = Arc::new(origin);
        request.extensions_mut().insert(Arc::clone(&origin));
        let lent = lends.then(|| {
            let (body, lent) = lend(request.take_body().into());
            request.set_body(Body::from(body));
            lent
        });
        let mut response = self.server.endpoint.get_response(request).await;
        let handover = response.extensions_mut().remove::<Handover>();
        if let Some(subscription) = handover.and_then(|handover| handover.take()) {
            if is_own {
                *self.leaving.lock() = Some(Leaving { head: head(&response), subscription });
                return Err(Left::ToStream);
            }
            let frames = subscription.into_body().map(Ok::<_, io::Error>);
            response.set_body(Body::from_bytes_stream(frames));
        }
        if let Some(rest) = lent.and_then(Lent::rest) {
            let is_late = response.status() == StatusCode::REQUEST_TIMEOUT;
            if expects || is_late || !is_small(&rest) {
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(header::CONNECTION, close);
            } else {
                // Until then no new request can be on its way.
                let reading = self.activity.begin();
                self.server.tasks.spawn(async move {
                    read_away(rest).await;
                    drop(reading);
                });
            }
        }
        let holder =
            origin.user().map_or_else(|| Holder::Address(customer(self.remote.ip())), Holder::User);
        let (parts, body) = hyper::Response::from(response).into_parts();
        let answer = Answer::new(body, &self.activity, answering, &self.server.budget, holder);
        if self.half_closed.is_cancelled() && self.activity.is_streaming() {
            return Err(Left::Gone);
        }
        Ok(hyper::Response::from_parts(parts, answer))
    }
}
