//! Information about a request, for operations.

use std::{future::pending, net::IpAddr, sync::Arc, time::Duration};

use poem::http::Method;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::origin::RequestOrigin;
use crate::{forwarded::Scheme, limit::ClientConnection, telemetry::CallerIds};

/// Information about a request that the middleware collects.
#[derive(Clone)]
pub(in crate::api) struct RequestInfo {
    /// The request's id.
    pub(in crate::api) id: Uuid,
    /// The ids that the caller gave to the request.
    pub(in crate::api) caller_ids: Arc<CallerIds>,
    /// The method that the client sent. HEAD runs the operation of GET, which sees GET as the method of its request.
    pub(in crate::api) method: Method,
    /// Cancelled when the client no longer waits for the response.
    pub(in crate::api) gone: CancellationToken,
    /// The connection of the request. Absent in tests without a socket.
    pub(in crate::api) client_connection: Option<Arc<ClientConnection>>,
    /// The origin of the page that sent the request.
    pub(in crate::api) origin: RequestOrigin,
    /// The name of the session cookie on this connection. Absent if a cookie would not be safe.
    pub(in crate::api) cookie_name: Option<&'static str>,
    /// The name of the user that a trusted proxy has sent. Absent without `auth.proxy_user_header`.
    pub(in crate::api) proxy_user: Option<Arc<str>>,
    /// The scheme of the URL that the client requested.
    pub(in crate::api) scheme: Scheme,
    /// The client's address, as trusted proxies report it, else the address of the peer.
    pub(in crate::api) address: IpAddr,
}

impl RequestInfo {
    /// Completes when the client no longer waits for a response that takes up to `wait`. If `wait` is not zero, a
    /// client that has closed its sending side counts as gone, because a crashed worker looks the same.
    pub(in crate::api) async fn client_gone(&self, wait: Duration) {
        let half_closed = async {
            match &self.client_connection {
                Some(client_connection) if !wait.is_zero() => {
                    client_connection.half_closed.cancelled().await;
                }
                _ => pending().await,
            }
        };
        tokio::select! {
            () = self.gone.cancelled() => {}
            () = half_closed => {}
        }
    }
}
