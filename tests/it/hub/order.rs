//! From its cursor on, every subscriber sees every event exactly once and in order. This holds even
//! if the bus loses messages.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use entity::user::Role;
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use serde_json::json;
use streamgate::{
    bus::{Bus, BusError, InProcessBus, Message},
    event::{Cursor, Family, NewEvent, Topic},
};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::support::{App, Caller, PATIENCE, cluster::pair};

/// A bus that loses a message if the bit of its number, modulo 64, is set in `lost`.
struct LossyBus {
    inner: InProcessBus,
    lost: AtomicU64,
    count: AtomicU64,
}

#[async_trait]
impl Bus for LossyBus {
    async fn join(&self, node: Uuid) -> Result<mpsc::Receiver<Message>, BusError> {
        self.inner.join(node).await
    }

    fn publish(&self, node: Uuid, message: Message) {
        let number = self.count.fetch_add(1, Ordering::Relaxed) % 64;
        if self.lost.load(Ordering::Relaxed) & (1 << number) == 0 {
            self.inner.publish(node, message);
        }
    }

    async fn ping(&self) -> Result<(), BusError> {
        Ok(())
    }
}

fn note(number: i64) -> NewEvent {
    NewEvent::new("note", &json!({ "number": number })).expect("a kind")
}

/// The steps of one round.
#[derive(Clone, Debug)]
struct Round {
    /// For each publisher, the numbers of events in its batches.
    publishers: Vec<Vec<i64>>,
    /// For each subscriber, the numbers of events after which it reconnects.
    subscribers: Vec<Vec<usize>>,
    /// Messages that the bus loses, one bit each.
    lost: u64,
}

fn rounds() -> impl Strategy<Value = Round> {
    let publishers = prop::collection::vec(prop::collection::vec(1..6_i64, 1..16), 1..4);
    let subscribers = prop::collection::vec(prop::collection::vec(0..12_usize, 0..5), 1..6);
    (publishers, subscribers, any::<u64>()).prop_map(|(publishers, subscribers, lost)| Round {
        publishers,
        subscribers,
        lost,
    })
}

/// Plays a round. Returns the first fault, if there is one.
async fn play(round: &Round, apps: [&App; 2], operator: &Caller, topology: Uuid) -> Option<String> {
    // The two transitions of the topology come first.
    let total = 2 + round.publishers.iter().flatten().sum::<i64>();
    let topic = Topic::new(Family::Topology, topology);
    let publishers = round.publishers.iter().enumerate().map(|(index, batches)| {
        let (hub, topic) = (Arc::clone(&apps[index % 2].gateway.hub), topic.clone());
        let batches = batches.clone();
        tokio::spawn(async move {
            for size in batches {
                let events = (0..size).map(note).collect();
                hub.publish(topic.clone(), events).await.expect("an acknowledgement");
            }
        })
    });
    let publishers: Vec<_> = publishers.collect();
    let subscribers = round.subscribers.iter().enumerate().map(|(index, visits)| {
        let here = apps[(index + 1) % 2].here(operator);
        let visits = visits.clone();
        tokio::spawn(async move { follow(&here, topology, &visits, total).await })
    });
    let subscribers: Vec<_> = subscribers.collect();
    for publisher in publishers {
        publisher.await.expect("no panic");
    }
    for subscriber in subscribers {
        let seen = tokio::time::timeout(PATIENCE, subscriber).await;
        let Ok(seen) = seen else { return Some("a subscriber did not get everything".to_owned()) };
        let (first, seqs) = seen.expect("no panic");
        let expected: Vec<i64> = (first + 1..=total).collect();
        if seqs != expected {
            return Some(format!("saw {seqs:?} after {first}"));
        }
    }
    None
}

/// Reads up to event `last`, and reconnects after each number of events in `visits`. Returns the
/// number of the snapshot and the numbers after it.
async fn follow(caller: &Caller, topology: Uuid, visits: &[usize], last: i64) -> (i64, Vec<i64>) {
    let mut reader = caller.watch(topology, "").await;
    let snapshot = reader.expect("snapshot").await;
    let mut cursor: Cursor = snapshot.id.expect("an id").parse().expect("a cursor");
    let first = cursor.seq;
    let mut seen = Vec::new();
    let mut visits = visits.iter().copied();
    let mut left = visits.next();
    while cursor.seq < last {
        if left == Some(0) {
            reader = caller.watch(topology, &format!("last_event_id={cursor}")).await;
            left = visits.next();
            continue;
        }
        let block = reader.next().await.expect("an event");
        assert_ne!(block.event, "snapshot", "a cursor could not be resumed");
        cursor = block.id.expect("an id").parse().expect("a cursor");
        seen.push(cursor.seq);
        left = left.map(|left| left - 1);
    }
    (first, seen)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscribers_see_each_event_once_in_order_despite_lost_messages() {
    let bus = Arc::new(LossyBus {
        inner: InProcessBus::default(),
        lost: AtomicU64::new(0),
        count: AtomicU64::new(0),
    });
    let (one, two) = pair(Arc::clone(&bus) as Arc<dyn Bus>, 1).await;
    let operator = one.caller(Role::Operator).await;
    let mut runner = TestRunner::default();
    for _ in 0..24 {
        let round = rounds().new_tree(&mut runner).expect("a round").current();
        bus.lost.store(round.lost, Ordering::Relaxed);
        let topology = one.active_topology(&operator).await;
        let failed = play(&round, [&one, &two], &operator, topology).await;
        assert_eq!(failed, None, "{round:?}");
    }
    two.finish().await;
    one.finish().await;
}
