//! The bus between gateways in one process. This is the default, for a single gateway.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::{Bus, BusError, Message};

/// Maximum number of messages that wait for one gateway. A gateway that is further behind loses messages, as on any
/// bus.
const QUEUE: usize = 1_024;

/// Carries messages between gateways of one process.
#[derive(Debug, Default)]
pub struct InProcessBus {
    members: Mutex<Vec<(Uuid, mpsc::Sender<Message>)>>,
}

#[async_trait]
impl Bus for InProcessBus {
    async fn join(&self, node: Uuid) -> Result<mpsc::Receiver<Message>, BusError> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        self.members.lock().unwrap_or_else(PoisonError::into_inner).push((node, sender));
        Ok(receiver)
    }

    fn publish(&self, node: Uuid, message: Message) {
        let mut members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        members.retain(|(_, sender)| !sender.is_closed());
        for (_, sender) in members.iter().filter(|(member, _)| *member != node) {
            if sender.try_send(message.clone()).is_err() {
                tracing::debug!("a gateway is behind and loses a message of the bus");
            }
        }
    }

    async fn ping(&self) -> Result<(), BusError> {
        Ok(())
    }
}
