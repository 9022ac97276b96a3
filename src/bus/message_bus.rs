//! The trait of a bus, and its messages.

use async_trait::async_trait;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::event::Event;

/// A message between gateways.
#[derive(Clone, Debug)]
pub enum Message {
    /// These events were committed.
    Events(Vec<Event>),
    /// The login session with this id was revoked.
    LoginSessionRevoked(Uuid),
    /// All login sessions of the user with this id were revoked, or the user was changed. Other gateways look them up
    /// again.
    UserChanged(Uuid),
    /// The users that the tunnel with this id is shared with, or its policy, were changed. Other gateways look them up
    /// again.
    TunnelSharingChanged(Uuid),
    /// An expired stream token has resumed its stream. Other gateways end the connections that the token had.
    StreamResumed {
        /// Id of the token.
        token: Uuid,
        /// Id of the connection that resumed.
        connection: Uuid,
    },
}

/// The bus does not answer.
#[derive(Debug, thiserror::Error)]
#[error("the bus does not answer: {0}")]
pub struct BusError(pub String);

/// Carries messages between gateways.
#[async_trait]
pub trait Bus: Send + Sync + 'static {
    /// Joins as the gateway `node`. Returns the messages that other gateways publish from now on.
    async fn join(&self, node: Uuid) -> Result<mpsc::Receiver<Message>, BusError>;

    /// Sends a message to all other gateways, if possible. Never waits, and does not report a failure.
    fn publish(&self, node: Uuid, message: Message);

    /// Checks that the bus answers.
    async fn ping(&self) -> Result<(), BusError>;
}
