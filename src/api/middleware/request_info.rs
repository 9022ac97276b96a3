//! The facts about a request that operations use.

use std::{future::pending, net::IpAddr, sync::Arc, time::Duration};

use poem::http::Method;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::limit::Origin;

/// A request, as the middleware found it.
#[derive(Clone)]
pub(in crate::api) struct RequestInfo {
    /// The request's id.
    pub(in crate::api) id: Uuid,
    /// The method that the client sent. poem answers HEAD with the operation of GET, and tells it GET.
    pub(in crate::api) method: Method,
    /// Cancelled when the client no longer waits for the response.
    pub(in crate::api) gone: CancellationToken,
    /// The connection that the request came on. Absent in tests without a socket.
    pub(in crate::api) origin: Option<Arc<Origin>>,
    /// The client's address, as far as trusted proxies report it, else the address of the peer.
    pub(in crate::api) address: IpAddr,
}

impl RequestInfo {
    /// Completes when the client no longer waits for a response that takes up to `wait`. A client that
    /// waits and has closed its sending side counts as gone: a worker that crashed looks like that.
    pub(in crate::api) async fn client_gone(&self, wait: Duration) {
        let half_closed = async {
            match &self.origin {
                Some(origin) if !wait.is_zero() => origin.half_closed.cancelled().await,
                _ => pending().await,
            }
        };
        tokio::select! {
            () = self.gone.cancelled() => {}
            () = half_closed => {}
        }
    }
}
