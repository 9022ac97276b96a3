//! Handles the requests of one connection.

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

use super::connection_state::{ConnectionState, RequestGuard};
use super::request_body::{self, UnreadBody};
use super::response_body::ResponseBody;
use super::response_head;
use super::shared::Shared;
use super::write_budget::Client;
use crate::hub::{Handover, PendingSubscription};
use crate::limit::{ClientConnection, ConnectionPermit, client_network};

/// Handles the requests of one connection, and holds the state that they share. The socket is not part of it, because
/// tasks that hold this value can outlive the connection for a moment.
pub(super) struct RequestHandler {
    pub(super) shared: Arc<Shared>,
    pub(super) state: Arc<ConnectionState>,
    pub(super) permit: Arc<ConnectionPermit>,
    /// Cancelled when the client has finished sending.
    pub(super) half_closed: CancellationToken,
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    pub(super) scheme: Scheme,
    /// The stream that gets the socket when hyper has released it.
    pub(super) socket_stream: Mutex<Option<SocketStream>>,
}

/// A stream that is written to the socket itself, and the head of its response.
pub(super) struct SocketStream {
    pub(super) head: Vec<u8>,
    pub(super) subscription: PendingSubscription,
}

/// Makes hyper end the connection without a response.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoResponse {
    #[error("a stream takes over the socket")]
    SocketStream,
    #[error("the client of a stream has disconnected")]
    ClientGone,
}

impl RequestHandler {
    /// Calls the endpoint, and prepares its response.
    ///
    /// A stream is written to the socket itself if the socket carries only this response. This is the case on HTTP/1.1
    /// without TLS, because hyper reads no further request before a response is sent. Otherwise the stream is the body
    /// of the response.
    pub(super) async fn handle(
        self: Arc<Self>,
        request: hyper::Request<Incoming>,
        guard: RequestGuard,
    ) -> Result<hyper::Response<ResponseBody>, NoResponse> {
        let version = request.version();
        let gets_socket = version == Version::HTTP_11 && self.scheme == Scheme::HTTP;
        // The client waits for "100 Continue" or for a final status before it sends its body.
        let expects_continue = request.headers().contains_key(header::EXPECT);
        let has_body = version != Version::HTTP_2 && !request.body().is_end_stream();
        let (local, remote) = (LocalAddr(self.local.into()), RemoteAddr(self.remote.into()));
        let mut request = Request::from((request, local, remote, self.scheme.clone()));
        let client_connection =
            ClientConnection::new(Arc::clone(&self.permit), self.half_closed.clone());
        let client_connection = Arc::new(client_connection);
        request.extensions_mut().insert(Arc::clone(&client_connection));
        let unread = has_body.then(|| {
            let (body, unread) = request_body::track(request.take_body().into());
            request.set_body(Body::from(body));
            unread
        });
        let mut response = self.shared.endpoint.get_response(request).await;
        let handover = response.extensions_mut().remove::<Handover>();
        if let Some(subscription) = handover.and_then(|handover| handover.take()) {
            if gets_socket {
                let head = response_head::encode(&response);
                *self.socket_stream.lock() = Some(SocketStream { head, subscription });
                return Err(NoResponse::SocketStream);
            }
            let frames = subscription.into_body().map(Ok::<_, io::Error>);
            response.set_body(Body::from_bytes_stream(frames));
        }
        if let Some(rest) = unread.and_then(UnreadBody::into_rest) {
            let is_late = response.status() == StatusCode::REQUEST_TIMEOUT;
            if expects_continue || is_late || !request_body::is_discardable(&rest) {
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(header::CONNECTION, close);
            } else {
                // The next request can only follow after this body.
                let discarding = self.state.begin_request();
                self.shared.tasks.spawn(async move {
                    request_body::discard(rest).await;
                    drop(discarding);
                });
            }
        }
        let client = client_connection
            .user()
            .map_or_else(|| Client::Address(client_network(self.remote.ip())), Client::User);
        let (parts, body) = hyper::Response::from(response).into_parts();
        let body = ResponseBody::new(body, &self.state, guard, &self.shared.budget, client);
        if self.half_closed.is_cancelled() && self.state.has_stream() {
            return Err(NoResponse::ClientGone);
        }
        Ok(hyper::Response::from_parts(parts, body))
    }
}
