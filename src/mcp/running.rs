//! A request that goes on.

use serde_json::Value;

use super::{error::RpcError, exchange::Exchange, exchange::Item, listen::Subscription};
use crate::tunnel::Revocation;

/// A request that goes on, as long as its user may use the tunnel.
pub struct Running {
    work: Work,
    id: Value,
    revocation: Revocation,
}

enum Work {
    /// The MCP server works on it.
    Exchange(Box<Exchange>),
    /// The gateway answers it with notifications.
    Subscription(Box<Subscription>),
}

impl Running {
    /// The MCP server works on the request with this id.
    pub(super) fn exchange(exchange: Exchange, id: Value, revocation: &Revocation) -> Self {
        Self { work: Work::Exchange(Box::new(exchange)), id, revocation: revocation.clone() }
    }

    /// The gateway answers the request with this id with notifications.
    pub(super) fn subscription(
        subscription: Subscription,
        id: Value,
        revocation: &Revocation,
    ) -> Self {
        let work = Work::Subscription(Box::new(subscription));
        Self { work, id, revocation: revocation.clone() }
    }

    /// The next message for the client.
    pub async fn next(&mut self) -> Item {
        let next = async {
            match &mut self.work {
                Work::Exchange(exchange) => exchange.next().await,
                Work::Subscription(subscription) => subscription.next().await,
            }
        };
        tokio::select! {
            biased;
            () = self.revocation.revoked() => {
                Item::Last(RpcError::not_shared().into_response(self.id.clone()))
            }
            item = next => item,
        }
    }
}
