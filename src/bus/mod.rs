//! The bus: carries news between the gateways of one cluster.
//!
//! It is only a short cut. Whatever a message tells is already in the database, so a bus may lose,
//! repeat or reorder messages, or be down: gateways look into the database with every heartbeat.

mod in_process;

use async_trait::async_trait;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::event::Event;

pub use in_process::InProcessBus;

/// What gateways tell one another.
#[derive(Clone, Debug)]
pub enum Message {
    /// These were committed.
    Events(Vec<Event>),
    /// A session was revoked.
    SessionRevoked(Uuid),
    /// All sessions of a user were revoked, or the user was changed: look them up again.
    UserChanged(Uuid),
}

/// The bus does not answer.
#[derive(Debug, thiserror::Error)]
#[error("the bus does not answer: {0}")]
pub struct BusError(pub String);

/// A way to tell the other gateways.
#[async_trait]
pub trait Bus: Send + Sync + 'static {
    /// Joins as the gateway `node` and returns what the others publish from now on.
    async fn join(&self, node: Uuid) -> Result<mpsc::Receiver<Message>, BusError>;

    /// Tells all other gateways, if it can. Never waits.
    fn publish(&self, node: Uuid, message: Message);

    /// One round trip.
    async fn ping(&self) -> Result<(), BusError>;
}
