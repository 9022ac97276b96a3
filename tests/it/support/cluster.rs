//! Two gateways on one database, with a broken bus between them.

use std::sync::Arc;

use async_trait::async_trait;
use entity::user::Role;
use streamgate::bus::{Bus, BusError, Message};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::support::{app::App, caller::Caller, store::Store};

/// A bus that is down. It delivers no message and does not respond to a ping.
#[derive(Default)]
pub struct DeadBus(pub std::sync::Mutex<Vec<mpsc::Sender<Message>>>);

#[async_trait]
impl Bus for DeadBus {
    async fn join(&self, _node: Uuid) -> Result<mpsc::Receiver<Message>, BusError> {
        let (sender, receiver) = mpsc::channel(1);
        self.0.lock().expect("no panic").push(sender);
        Ok(receiver)
    }

    fn publish(&self, _node: Uuid, _message: Message) {}

    async fn ping(&self) -> Result<(), BusError> {
        Err(BusError("it is down".to_owned()))
    }
}

/// Two gateways on one database.
pub async fn pair(bus: Arc<dyn Bus>, heartbeat_seconds: u64) -> (App, App) {
    let store = Store::new().await;
    let change = |config: &mut streamgate::config::Config| {
        config.streams.heartbeat_seconds = heartbeat_seconds;
        // Fewer than the published events, so that the gateways also read the log.
        config.streams.buffer_events = 16;
        config.limits.streams_per_user = 1_000;
    };
    let one = App::on(store.clone(), Arc::clone(&bus), change).await;
    let two = App::on(store, bus, change).await;
    (one, two)
}

/// Two gateways without a bus between them, an operator as a client of each, and a topology.
pub async fn pair_without_bus(heartbeat_seconds: u64) -> (App, App, [Caller; 2], Uuid) {
    let (one, two) = pair(Arc::new(DeadBus::default()), heartbeat_seconds).await;
    let operator = one.caller(Role::Operator).await;
    let topology = one.active_topology(&operator).await;
    let there = two.here(&operator);
    (one, two, [operator, there], topology)
}
