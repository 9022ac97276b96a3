//! A request that goes on.

use super::exchange::Item;
use super::{exchange::Exchange, listen::Subscription};

/// A request that goes on.
pub enum Running {
    /// The MCP server works on it.
    Exchange(Box<Exchange>),
    /// The gateway answers it with notifications.
    Subscription(Box<Subscription>),
}

impl Running {
    /// The next message for the client.
    pub async fn next(&mut self) -> Item {
        match self {
            Self::Exchange(exchange) => exchange.next().await,
            Self::Subscription(subscription) => subscription.next().await,
        }
    }
}
